"""ISO 9660 images written by genisoimage."""

from __future__ import annotations

from pathlib import Path

from tests.evidence.source.disks import need, run


def make(path: Path, tree: Path, *options: str) -> Path:
    """An image that holds what is in the folder ``tree``: ``-J`` adds Joliet, ``-R`` Rock Ridge."""
    need("genisoimage")
    run("genisoimage", "-quiet", "-input-charset", "utf-8", *options, "-o", path, tree)
    return path
