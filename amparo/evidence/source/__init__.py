"""What was seized, opened read-only: folders, disk images, volumes, file systems, free space."""
