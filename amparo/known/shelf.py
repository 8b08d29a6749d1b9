"""One index on disk, opened: its lists, what each entry says, and a table of digests for each kind."""

from __future__ import annotations

import json
import sys
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from amparo.errors import UsedWrongly
from amparo.known.binding import ENTRY, FORMAT, VERSION, check_of, digest_of_file
from amparo.known.lists.claim import KINDS, WIDTHS
from amparo.known.table import Damaged, DigestTable, mapped

HEADER = "header.json"
_LARGEST_HEADER = 1 << 26
_LONGEST_TEXT = 1 << 20


@dataclass(frozen=True, slots=True)
class Saying:
    """What an entry says: its list, its identifier and category there, and for which kinds it names a digest."""

    list: str
    entry: str | None
    category: str | None
    good: bool
    claims: int  # 1 md5, 2 sha1, 4 sha256, 8 pdq, 16 film
    scheme: str | None = None  # that the category is of, where the list's format says it
    flags: str | None = None  # compact JSON: what else the list says of it


class Shelf:
    """An index, mapped. Raises Damaged where its files do not hold together."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._header = _header(folder)
        try:
            self.lists: list[dict[str, Any]] = self._header["lists"]
            self._categories: list[str] = self._header["categories"]
            self.entries: int = self._header["entries"]
            self._firsts: list[int] = [known["first"] for known in self.lists]
            for name, file in self._header["files"].items():
                if (folder / name).stat().st_size != file["size"]:
                    raise Damaged(f"{name} is not of the size that it should be")
            self.tables = {
                kind: DigestTable(folder, kind, WIDTHS[kind], table["rows"], table["bits"])
                for kind, table in ((kind, self._header["tables"][kind]) for kind in KINDS)
            }
            self._said = mapped(folder / "entries", self.entries * ENTRY.itemsize)
            self._texts, self._flags = self._texts_of("texts"), self._texts_of("flags")
            self.prints = {
                kind: Prints(folder, kind, described["rows"], described["nearest"])
                for kind, described in self._header["prints"].items()
            }
        except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            raise Damaged(f"its header does not describe it ({error})") from None

    def saying(self, number: int) -> Saying:
        """What the entry of this number says."""
        if number >= self.entries:
            raise Damaged("a digest stands for an entry that is not there")
        claims, low, high = self._said[number * 3 : number * 3 + 3]
        category = low | high << 8 if sys.byteorder == "little" else high | low << 8
        if category > len(self._categories):
            raise Damaged("an entry is of a category that is not there")
        place = bisect_right(self._firsts, number) - 1
        known = self.lists[place]
        row = number - known["first"]
        entry = None if known["texts"] is None else self._texts.at(known["texts"] + row)
        flags = None if known["flags"] is None else self._flags.at(known["flags"] + row)
        named = self._categories[category - 1] if category else None
        return Saying(known["list"], entry, named, known["good"], claims, known["scheme"], flags)

    def verify(self) -> None:
        """Read every byte and hold it against the header. Raises Damaged naming the first file that is not as it was built."""
        for name, file in self._header["files"].items():
            if digest_of_file(self.folder / name) != file["sha256"]:
                raise Damaged(f"{name} was changed since the index was built")

    def _texts_of(self, name: str) -> _Texts:
        files = self._header["files"]
        if name not in files:
            return _Texts(memoryview(b""), memoryview(b"").cast("Q"))
        return _Texts(
            mapped(self.folder / name, files[name]["size"]),
            mapped(self.folder / f"{name}.ends", files[f"{name}.ends"]["size"]).cast("Q"),
        )


class Prints:
    """Fingerprints of one kind, ready for range search. ``rows`` is their number; ``of`` gives the entry of a row."""

    def __init__(self, folder: Path, kind: str, rows: int, described: dict[str, Any]) -> None:
        from amparo.known.nearest import Nearest

        self.rows = rows
        self._films: tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None
        self.nearest = Nearest.open(folder, described, kind)
        self._of = mapped(folder / f"{kind}.entries", rows * 4).cast("I")
        if len(self.nearest) != rows:
            raise Damaged(f"the fingerprints of {kind} do not fit their entries")

    def of(self, row: int) -> int:
        """The number of the entry that a row is of."""
        return self._of[row]

    def films(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """For films: the entry of each, the film that each row is of, and how many rows each film has."""
        if self._films is None:
            numbers, of, sizes = np.unique(np.frombuffer(self._of, np.uint32), return_inverse=True, return_counts=True)
            self._films = numbers, of, sizes
        return self._films


class _Texts:
    """Texts one after another, and where each ends."""

    def __init__(self, texts: memoryview, ends: memoryview) -> None:
        self._texts, self._ends = texts, ends

    def at(self, row: int) -> str | None:
        if row + 1 >= len(self._ends):
            raise Damaged("what an entry says is not there")
        begin, end = self._ends[row], self._ends[row + 1]
        if not begin <= end <= len(self._texts) or end - begin > _LONGEST_TEXT:
            raise Damaged("what an entry says is not there")
        return bytes(self._texts[begin:end]).decode("utf-8", "replace") or None


def is_shelf(folder: Path) -> bool:
    """Whether the folder looks like an index, sound or not."""
    return folder.is_dir() and (folder / HEADER).is_file()


def _header(folder: Path) -> dict[str, Any]:
    path = folder / HEADER
    try:
        if path.stat().st_size > _LARGEST_HEADER:
            raise Damaged("its header is larger than any can be")
        header = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UsedWrongly(f"{folder} is not an index of known material: build one with amparo known import.") from None
    except (OSError, ValueError, RecursionError):
        raise Damaged("its header cannot be read") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise UsedWrongly(f"{folder} is not an index of known material: build one with amparo known import.")
    if header.get("version") != VERSION or header.get("byteorder") != sys.byteorder:
        raise UsedWrongly(f"The index {folder} was built by another version or machine: build it again here.")
    if header.get("check") != check_of(header):
        raise Damaged("its header was changed")
    return header
