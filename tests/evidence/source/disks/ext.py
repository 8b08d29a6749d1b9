"""ext2, ext3 and ext4 volumes written by mke2fs, and changed afterwards by debugfs."""

from __future__ import annotations

import os
from pathlib import Path

from tests.evidence.source.disks import blank, need, run


def make(path: Path, tree: Path, *options: str, size: int = 8 << 20) -> Path:
    """A volume that holds what is in the folder ``tree``."""
    need("mke2fs")
    run("mke2fs", "-q", "-F", "-E", "no_copy_xattrs", *options, "-d", tree, blank(path, size))
    return path


def change(image: Path, *commands: str) -> None:
    """Let debugfs do this to the volume."""
    need("debugfs")
    run("debugfs", "-w", "-f", "/dev/stdin", image, text="\n".join(commands).encode() + b"\n")


def tree(root: Path, files: dict[str, bytes], modified: int = 1_700_000_000) -> Path:
    """A folder of these files, all of one time."""
    for place, content in files.items():
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (modified, modified))
    root.mkdir(exist_ok=True)
    return root
