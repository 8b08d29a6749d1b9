"""Known material: lists in, look-ups out. Usable alone by a service provider; imports neither law nor Django."""
