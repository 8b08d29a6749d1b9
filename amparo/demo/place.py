"""The folder of the demonstration: made, or made again where an earlier demonstration left its mark, and never anybody else's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from amparo.errors import UsedWrongly

MARK: Final = ".amparo-demo"
DISK, ORDER, KNOWN, PACKAGE, RECIPIENT, SEAL = "disk.img", "order.toml", "known", "package", "age-key.txt", "seal-key"
_OURS: Final = (DISK, ORDER, KNOWN, PACKAGE, RECIPIENT, SEAL)


def prepare(out: Path) -> None:
    """Leave ``out`` there, marked, and without what an earlier demonstration wrote; anything else in it stays.

    Raises UsedWrongly where it is a file, or a folder that holds something and bears no mark.
    """
    if out.exists() and not out.is_dir():
        raise UsedWrongly(f"{out} is a file: name a folder with --out.")
    marked = (out / MARK).is_file() and not (out / MARK).is_symlink()
    if out.is_dir() and not marked and any(out.iterdir()):
        raise UsedWrongly(
            f"The folder {out} holds something that is not an earlier demonstration: name another with --out."
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).write_text("amparo demo writes here and replaces what it wrote.\n", encoding="utf-8")
    for name in _OURS:
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
