"""XFS volumes written by mkfs.xfs from a list of files (its names can hold no space, line feed, or byte that is not UTF-8)."""

from __future__ import annotations

from pathlib import Path

from tests.evidence.source.disks import blank, need, run


def make(path: Path, tree: Path, *options: str) -> Path:
    """A volume that holds what is in the folder ``tree``. mkfs.xfs makes none below 300 MB; the image is a sparse file."""
    need("mkfs.xfs")
    lines = ["/", "0 0", "d--755 0 0"]

    def add(folder: Path) -> None:
        for item in sorted(folder.iterdir()):
            if item.is_symlink():
                lines.append(f"{item.name} l--777 0 0 {item.readlink()}")
            elif item.is_dir():
                lines.append(f"{item.name} d--755 0 0")
                add(item)
            else:
                lines.append(f"{item.name} ---644 0 0 {item}")
        lines.append("$")

    add(tree)
    prototype = path.with_suffix(".proto")
    prototype.write_text("\n".join(lines) + "\n")
    run("mkfs.xfs", "-q", "-f", "-p", prototype, *options, blank(path, 320 << 20))
    return path
