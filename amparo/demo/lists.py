"""The known lists of the demonstration, in the formats that such lists come in: CSV, hashdeep, and the NSRL's."""

from __future__ import annotations

import csv
import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from amparo.demo.computer import Computer, Planted

CSV_NAME: Final = "Lista de demonstração.csv"
HASHDEEP_NAME: Final = "Lista de demonstração (hashdeep).txt"
ORDINARY_NAME: Final = "Ficheiros comuns (NSRL).csv"
_STRANGERS: Final = 300
"""Entries of contents that are nowhere on the disk."""


def write_lists(computer: Computer, folder: Path, seed: int) -> tuple[Path, ...]:
    """Write the lists of this computer into ``folder``; every known picture is on exactly one of the first two."""
    by_entry = {planted.entry: planted for planted in computer.planted}
    known = [by_entry[entry] for entry in sorted(by_entry) if by_entry[entry].original is None]
    originals = [planted for planted in computer.planted if planted.original is not None]
    half = len(known) * 2 // 3
    paths = (folder / CSV_NAME, folder / HASHDEEP_NAME, folder / ORDINARY_NAME)
    _write_csv(paths[0], known[:half], originals, random.Random(seed))  # noqa: S311  the same list each time
    _write_hashdeep(paths[1], known[half:])
    _write_ordinary(paths[2], computer.ordinary)
    return paths


def _digests(content: bytes) -> list[str]:
    return [hashlib.new(kind, content, usedforsecurity=False).hexdigest() for kind in ("md5", "sha1", "sha256")]


def _write_csv(path: Path, known: Sequence[Planted], originals: Sequence[Planted], chance: random.Random) -> None:
    rows = []
    for number, planted in enumerate(known):
        digests = _digests(planted.content)
        if number % 4 == 3:  # an old entry, with no more than its MD5
            digests[1:] = ["", ""]
        rows.append([*digests, "", str(1 + number % 2), planted.entry])
    for number, planted in enumerate(originals):  # known by their looks alone
        rows.append(["", "", "", (planted.original or b"").hex(), str(1 + number % 2), planted.entry])
    for number in range(1, _STRANGERS + 1):
        rows.append(
            [*_digests(chance.randbytes(64)), chance.randbytes(32).hex(), str(1 + number % 2), f"E-{number:03}"]
        )
    chance.shuffle(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["md5", "sha1", "sha256", "pdq", "category", "entry"])
        writer.writerows(rows)


def _write_hashdeep(path: Path, known: Sequence[Planted]) -> None:
    lines = ["%%%% HASHDEEP-1.0", "%%%% size,md5,sha1,sha256,filename"]
    for planted in known:
        lines.append(",".join([str(len(planted.content)), *_digests(planted.content), planted.entry]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_ordinary(path: Path, contents: dict[str, bytes]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["SHA-1", "MD5", "CRC32", "FileName", "FileSize", "ProductCode", "OpSystemCode", "SpecialCode"])
        for name, content in contents.items():
            md5, sha1, _ = _digests(content)
            writer.writerow([sha1.upper(), md5.upper(), "00000000", name.rpartition("/")[2], len(content), 1, 1, ""])
