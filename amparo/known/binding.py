"""Building an index from lists, in bounded memory: claims are spilled as they come, then sorted a share at a time."""

from __future__ import annotations

import hashlib
import json
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from amparo.errors import UsedWrongly
from amparo.known.lists import KnownList
from amparo.known.lists.claim import KINDS, WIDTHS
from amparo.known.spills import CHUNK, Prints, Spill, Texts, in_order
from amparo.known.table import Digests, bits_for

FORMAT, VERSION = "amparo known digests", 2
MOST_ENTRIES = 4_294_000_000  # numbers have 32 bits, and a chunk is counted after it is taken
MOST_CATEGORIES = (1 << 16) - 1
MOST_REPEATS = 100  # places kept for one digest in one list
PICTURES, FILMS = "pdq", "film"  # fingerprints of pictures, and of the frames of films
ENTRY = np.dtype([("claims", np.uint8), ("category", np.uint16)])


class Binder:
    """Takes lists one after another and writes the files of an index into an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lists: list[dict[str, Any]] = []
        self.categories: dict[str, int] = {}
        self.entries = 0
        self._spills = {kind: Spill(folder / f"{kind}.spill", WIDTHS[kind]) for kind in KINDS}
        self._prints = {kind: Prints(folder, kind) for kind in (PICTURES, FILMS)}
        self._texts, self._flags = Texts(folder, "texts"), Texts(folder, "flags")
        self._claims, self._of_category = bytearray(), array("H")
        self._table = (folder / "entries").open("wb")

    def add(self, known: KnownList) -> None:
        """Take every entry of the list. Raises UsedWrongly as reading it does, and where it has 65,535 categories."""
        first = self.entries
        self._texts.begin()
        self._flags.begin()
        for md5, sha1, sha256, pdq, film, category, entry, flags in known.claims():
            number = self.entries
            claims = 0
            if md5 is not None:
                self._spills["md5"].put(md5, number)
                claims = 1
            if sha1 is not None:
                self._spills["sha1"].put(sha1, number)
                claims |= 2
            if sha256 is not None:
                self._spills["sha256"].put(sha256, number)
                claims |= 4
            if pdq is not None:
                self._prints[PICTURES].put(pdq, number)
                claims |= 8
            if film is not None:
                self._prints[FILMS].put(film, number)
                claims |= 16
            self._claims.append(claims)
            self._of_category.append(self._category(category, known) if category is not None else 0)
            self._texts.put(entry)
            self._flags.put(flags)
            self.entries = number + 1
            if len(self._claims) >= CHUNK:
                self._flush()
        self._flush()
        self.lists.append({
            "list": known.name, "format": known.format, "good": known.good, "sha256": known.version, "size": known.size,
            "entries": known.read, "skipped": known.skipped_count, "empty": known.empty_count,
            "reasons": known.skipped[:10], "scheme": known.scheme, "faulty": known.faulty_count,
            "withdrawn": known.withdrawn_count, "repeated": known.repeated_count, "contradicted": known.contradicted_count,
            "remarks": known.remarks[:10], "first": first, "texts": self._texts.end(), "flags": self._flags.end(),
        })  # fmt: skip

    def finish(self) -> None:
        """Sort, write the directory, and describe everything in ``header.json``; the folder is then an index."""
        self._table.close()
        self._texts.finish()
        self._flags.finish()
        tables = {kind: self._finish_table(kind) for kind in KINDS}
        prints = {kind: spill.finish() for kind, spill in self._prints.items() if spill.rows}
        for spill in self._prints.values():
            spill.remove()
        header: dict[str, Any] = {
            "format": FORMAT, "version": VERSION, "byteorder": sys.byteorder, "entries": self.entries,
            "lists": self.lists, "categories": list(self.categories), "tables": tables, "prints": prints,
        }  # fmt: skip
        header["files"] = {
            path.name: {"size": path.stat().st_size, "sha256": digest_of_file(path)}
            for path in sorted(self.folder.iterdir())
        }
        header["check"] = check_of(header)
        (self.folder / "header.json").write_text(json.dumps(header, ensure_ascii=False, indent=1), "utf-8")

    def close(self) -> None:
        """Let go of the files, finished or not."""
        self._table.close()
        self._texts.close()
        self._flags.close()
        for spill in self._all():
            spill.close()

    def _all(self) -> Iterator[Spill | Prints]:
        yield from self._spills.values()
        yield from self._prints.values()

    def _category(self, category: str, known: KnownList) -> int:
        number = self.categories.setdefault(category, len(self.categories) + 1)
        if number > MOST_CATEGORIES:
            raise UsedWrongly(
                f"The list {known.path} has more than {MOST_CATEGORIES} categories: is its column category the right one?"
            )
        return number

    def _flush(self) -> None:
        if self.entries > MOST_ENTRIES:
            raise UsedWrongly("There are more than 4,294,000,000 entries: build two indexes.")
        for spill in self._all():
            spill.flush()
        chunk = np.empty(len(self._claims), ENTRY)
        chunk["claims"], chunk["category"] = (
            np.frombuffer(self._claims, np.uint8),
            np.frombuffer(self._of_category, np.uint16),
        )
        self._table.write(chunk.tobytes())
        self._claims, self._of_category = bytearray(), array("H")
        self._texts.flush()
        self._flags.flush()

    def _finish_table(self, kind: str) -> dict[str, int]:
        spill = self._spills[kind]
        bits = bits_for(spill.rows)
        counts = np.zeros(1 << bits, np.int64)
        kept = 0
        with (
            (self.folder / f"{kind}.heads").open("wb") as heads,
            (self.folder / f"{kind}.tails").open("wb") as tails,
            (self.folder / f"{kind}.entries").open("wb") as entries,
        ):
            for rows in spill.shares():
                head, tail, number = self._without_repeats(*in_order(rows))
                counts += np.bincount((head >> np.uint64(64 - bits)).astype(np.int64), minlength=1 << bits)
                heads.write(head.tobytes())
                tails.write(tail.tobytes())
                entries.write(number.tobytes())
                kept += len(head)
        spill.remove()
        directory = np.zeros((1 << bits) + 1, np.uint32)
        directory[1:] = np.cumsum(counts)
        (self.folder / f"{kind}.directory").write_bytes(directory.tobytes())
        return {"rows": kept, "bits": bits}

    def _without_repeats(
        self, head: npt.NDArray[np.uint64], tail: Digests, number: npt.NDArray[np.uint32]
    ) -> tuple[npt.NDArray[np.uint64], Digests, npt.NDArray[np.uint32]]:
        """The sorted rows less those that add nothing.

        A row adds nothing where the one before it has the same digest in the same list, claims the same kinds of
        digest in the same category, and the list names no entries; and past the first hundred of a digest in a list.
        """
        if len(head) < 2:
            return head, tail, number
        pairs = np.flatnonzero(head[1:] == head[:-1]) + 1
        pairs = pairs[(tail[pairs] == tail[pairs - 1]).all(axis=1)]
        firsts = np.array([known["first"] for known in self.lists], np.int64)
        named = np.array([known["texts"] is not None for known in self.lists], bool)
        of_list = np.searchsorted(firsts, number[pairs], side="right") - 1
        pairs_same = of_list == np.searchsorted(firsts, number[pairs - 1], side="right") - 1
        pairs, of_list = pairs[pairs_same], of_list[pairs_same]
        if not len(pairs):
            return head, tail, number
        said = np.memmap(self.folder / "entries", ENTRY, "r")
        nothing_new = ~named[of_list] & (said[number[pairs]] == said[number[pairs - 1]])
        # The place of each repeat in its run: runs of neighbours, counted from where they began.
        run_begins = np.flatnonzero(np.diff(pairs, prepend=-2) != 1)
        in_run = np.arange(len(pairs)) - np.repeat(run_begins, np.diff(np.append(run_begins, len(pairs)))) + 1
        keep = np.ones(len(head), bool)
        keep[pairs[nothing_new | (in_run >= MOST_REPEATS)]] = False
        return head[keep], tail[keep], number[keep]


def check_of(header: dict[str, Any]) -> str:
    """The digest of a header without its own ``check``."""
    rest = {key: value for key, value in header.items() if key != "check"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file, lower hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
