"""What an index is put together from, as it comes: digests, fingerprints and texts, held on disk and given back in order."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from amparo.known.lists.claim import PDQ as PRINT
from amparo.known.table import HEAD, Digests, heads_of

CHUNK = 1 << 18  # entries held before they are spilled
_SHARE = 1 << 22  # rows sorted at a time
_HELD = 1 << 22  # bytes of fingerprints held before they are spilled
_COARSE = 12  # leading bits by which shares are cut

Rows = npt.NDArray[np.void]


class Spill:
    """Digests with their entries' numbers as they came, on disk; given back in shares by their first bits."""

    def __init__(self, path: Path, width: int) -> None:
        self.path, self.rows = path, 0
        self._row = np.dtype([("digest", np.uint8, (width,)), ("entry", np.uint32)])
        self._width = width
        self._file: BinaryIO = path.open("wb")
        self._digests, self._numbers = bytearray(), array("I")
        self._counts = np.zeros(1 << _COARSE, np.int64)

    def put(self, digest: bytes, number: int) -> None:
        self._digests += digest
        self._numbers.append(number)

    def flush(self) -> None:
        if not self._numbers:
            return
        chunk = np.empty(len(self._numbers), self._row)
        chunk["digest"] = np.frombuffer(self._digests, np.uint8).reshape(-1, self._width)
        chunk["entry"] = np.frombuffer(self._numbers, np.uint32)
        self._counts += np.bincount(_coarse(chunk), minlength=1 << _COARSE)
        self._file.write(chunk.tobytes())
        self.rows += len(chunk)
        self._digests, self._numbers = bytearray(), array("I")

    def shares(self) -> Iterator[Rows]:
        """The rows in shares of about four million; every row of a share sorts before every row of the next."""
        self._file.close()
        begin = 0
        while begin < 1 << _COARSE:
            end, size = begin + 1, int(self._counts[begin])
            while end < 1 << _COARSE and size + self._counts[end] <= _SHARE:
                size += int(self._counts[end])
                end += 1
            if size:
                yield self._share(begin, end, size)
            begin = end

    def _share(self, begin: int, end: int, size: int) -> Rows:
        share, filled = np.empty(size, self._row), 0
        with self.path.open("rb") as stream:
            while piece := stream.read(CHUNK * self._row.itemsize):
                rows = np.frombuffer(piece, self._row)
                if size < self.rows:
                    prefix = _coarse(rows)
                    rows = rows[(prefix >= begin) & (prefix < end)]
                share[filled : filled + len(rows)] = rows
                filled += len(rows)
        return share

    def close(self) -> None:
        self._file.close()

    def remove(self) -> None:
        self._file.close()
        self.path.unlink()


class Prints:
    """Fingerprints as they came, 32 bytes each, with the entries they are of: ``NAME.entries`` says of each row whose it is."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name, self.rows = folder, name, 0
        self._spilled = folder / f"{name}.spill"
        self._file: BinaryIO = self._spilled.open("wb")
        self._entries: BinaryIO = (folder / f"{name}.entries").open("wb")
        self._held, self._numbers = bytearray(), array("I")

    def put(self, prints: bytes, number: int) -> None:
        self._held += prints
        self._numbers.extend([number] * (len(prints) // PRINT))
        if len(self._held) > _HELD:  # a film may have thousands
            self.flush()

    def flush(self) -> None:
        self._file.write(self._held)
        self._entries.write(self._numbers.tobytes())
        self.rows += len(self._numbers)
        self._held, self._numbers = bytearray(), array("I")

    def finish(self) -> dict[str, Any]:
        """Make them ready for range search; gives what describes that."""
        from amparo.known.nearest import Nearest

        self.close()
        rows = np.memmap(self._spilled, np.uint8, "r", shape=(self.rows, PRINT))
        described = Nearest.build(rows, self._folder, self._name)
        del rows
        return {"rows": self.rows, "nearest": described}

    def close(self) -> None:
        self._file.close()
        self._entries.close()

    def remove(self) -> None:
        self.close()
        self._spilled.unlink(missing_ok=True)
        if not self.rows:
            (self._folder / f"{self._name}.entries").unlink(missing_ok=True)


class Texts:
    """Texts of entries, one after another, with where each ends; nothing at all for a list that has none."""

    def __init__(self, folder: Path, name: str) -> None:
        self._paths = folder / name, folder / f"{name}.ends"
        self._blob, self._ends = self._paths[0].open("wb"), self._paths[1].open("wb")
        self._held: list[str | None] = []
        self._written = self._rows = self._without = 0
        self._first: int | None = None

    def begin(self) -> None:
        self._first, self._without = None, 0

    def put(self, text: str | None) -> None:
        self._held.append(text)

    def flush(self) -> None:
        held, self._held = self._held, []
        if self._first is None:
            if not any(held):
                self._without += len(held)
                return
            self._first = self._rows
            self._write([self._written] * (self._without + 1))  # the row before the first entry's says where it begins
        encoded = [(text or "").encode() for text in held]
        ends = self._written + np.cumsum([len(text) for text in encoded], dtype=np.int64)
        self._blob.write(b"".join(encoded))
        if len(encoded):
            self._written = int(ends[-1])
            self._write(ends.tolist())

    def end(self) -> int | None:
        """Where the list's rows begin, None where none of its entries is named."""
        return self._first

    def finish(self) -> None:
        """Nothing more will come; where nothing came at all, nothing is left behind."""
        self.close()
        if not self._rows:
            for path in self._paths:
                path.unlink()

    def close(self) -> None:
        self._blob.close()
        self._ends.close()

    def _write(self, ends: list[int]) -> None:
        self._ends.write(array("Q", ends).tobytes())
        self._rows += len(ends)


def _coarse(rows: Rows) -> npt.NDArray[np.int64]:
    digests = rows["digest"]
    return (digests[:, 0].astype(np.int64) << 4) | (digests[:, 1] >> 4)


def in_order(rows: Rows) -> tuple[npt.NDArray[np.uint64], Digests, npt.NDArray[np.uint32]]:
    """Heads, tails and entries' numbers in the order of the digests, then of the entries."""
    head = heads_of(rows["digest"])
    order = np.argsort(head)
    head = head[order]
    tied = np.zeros(len(head), bool)
    tied[1:] = head[1:] == head[:-1]
    tied[:-1] |= tied[1:]
    at = np.flatnonzero(tied)
    if len(at):
        these = rows[order[at]]
        tails = these["digest"][:, HEAD:]
        columns = [tails[:, n : n + 4].copy().view(">u4").ravel() for n in range(0, tails.shape[1], 4)]
        order[at] = order[at][np.lexsort((these["entry"], *reversed(columns), head[at]))]
    return head, rows["digest"][order, HEAD:], rows["entry"][order]
