"""The immutable base of an index of fingerprints: four mapped files, and every row near a query.

``PREFIX.hashes`` has the rows as they were given, 32 bytes each. The other files have a part for each band (see
:mod:`amparo.known.nearest.bands`): ``PREFIX.directory`` where the rows with each value of the band begin (2^width + 1 numbers
of 32 bits), ``PREFIX.postings`` the rows by value (32 bits), ``PREFIX.signs`` the sign of each of these (16 bits). All are in
this machine's byte order. A second process opens the files in milliseconds and shares their pages.

The answer is exact for every radius: what the bands find within the radius is all there is, and where they would cost more
than looking at every row (a wide radius, a set whose rows are all alike), every row is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from amparo.errors import UsedWrongly
from amparo.known.nearest import twin
from amparo.known.nearest.bands import BITS, MOST_BANDS, WIDEST, Band, designed, planned, ringed
from amparo.known.nearest.kernel import KERNEL, sort_by_band
from amparo.known.table import Damaged, mapped

VERSION: Final = 1
RADIUS: Final = 31  # within which PDQ takes two pictures for one (its authors' threshold)
FURTHEST: Final = 255  # the largest distance that a byte holds
MOST_ROWS: Final = 4_294_000_000  # rows are numbered with 32 bits
CHUNK: Final = 1 << 20  # hits held before they are given

_COPIED = 1 << 18  # rows copied at a time
_ROWS_A_CANDIDATE = 32  # that a scan looks at in the time that one hash is fetched and compared
_NO_LIMIT = (1 << 62) - 1

Fingerprints = npt.NDArray[np.uint8]


class Hits(NamedTuple):
    """Pairs that are near, sorted by query, then distance, then row; three arrays of one length."""

    query: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    distance: npt.NDArray[np.uint8]

    @classmethod
    def together(cls, parts: list[Hits]) -> Hits:
        """The hits of all parts, one after another."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint8))
        return cls(
            np.concatenate([part.query for part in parts]),
            np.concatenate([part.row for part in parts]),
            np.concatenate([part.distance for part in parts]),
        )

    def at(self, places: npt.NDArray[np.int64]) -> Hits:
        """The hits at these places."""
        return Hits(self.query[places], self.row[places], self.distance[places])


class Nearest:
    """An index of fingerprints of 256 bits. It may be asked by several threads at once."""

    def __init__(self, files: tuple[memoryview, ...], rows: int, bands: tuple[Band, ...]) -> None:
        self._rows, self.bands, self._files = rows, bands, files
        hashes, directory, postings, signs = files
        self.hashes: Fingerprints = np.frombuffer(hashes, np.uint8).reshape(rows, BITS // 8)
        numbers, posted, signed = (
            np.frombuffer(directory, np.uint32), np.frombuffer(postings, np.uint32), np.frombuffer(signs, np.uint16)
        )  # fmt: skip
        cuts = [0, *accumulate((1 << band.width) + 1 for band in bands)]
        self._parts = [
            (numbers[low:high], posted[at * rows : (at + 1) * rows], signed[at * rows : (at + 1) * rows])
            for at, (low, high) in enumerate(pairwise(cuts))
        ]

    @staticmethod
    def build(hashes: Fingerprints, folder: Path, prefix: str = "pdq", radius: int = RADIUS) -> dict[str, Any]:
        """Write the files of an index of ``hashes`` (n, 32), an array or a mapped file, into ``folder``.

        The answer describes it, in numbers and lists that JSON can hold; :meth:`open` asks for it. ``radius`` is the one
        that it is laid out for; any other may be asked. Memory: about 10 bytes a row. Raises OSError as writing does.
        """
        if hashes.ndim != 2 or hashes.shape[1] != BITS // 8 or hashes.dtype != np.uint8:
            raise UsedWrongly("Fingerprints are given as an array of bytes with 32 columns.")
        parts = (hashes[at : at + _COPIED] for at in range(0, len(hashes), _COPIED))
        return Nearest.build_from(parts, len(hashes), folder, prefix, radius)

    @staticmethod
    def build_from(
        parts: Iterator[Fingerprints], rows: int, folder: Path, prefix: str = "pdq", radius: int = RADIUS
    ) -> dict[str, Any]:
        """As :meth:`build`, of ``rows`` fingerprints that come a part (k, 32) at a time."""
        if rows > MOST_ROWS:
            raise UsedWrongly("There are more than 4,294,000,000 fingerprints: build two indexes.")
        with (folder / f"{prefix}.hashes").open("wb") as out:
            for part in parts:
                out.write(np.ascontiguousarray(part).data)
        written = np.frombuffer(mapped(folder / f"{prefix}.hashes", rows * 32), np.uint8).reshape(rows, 32)
        bands = designed(rows, radius)
        postings, signs = np.empty(rows if bands else 0, np.uint32), np.empty(rows if bands else 0, np.uint16)
        with ExitStack() as stack:
            places, posted, signed = (
                stack.enter_context((folder / f"{prefix}.{name}").open("wb"))
                for name in ("directory", "postings", "signs")
            )
            for band in bands:
                directory = np.empty((1 << band.width) + 1, np.uint32)
                sort_by_band(written, band, directory, postings, signs)
                places.write(directory.data)
                posted.write(postings.data)
                signed.write(signs.data)
        return {"version": VERSION, "rows": rows, "radius": radius, "bands": [list(band[:3]) for band in bands]}

    @classmethod
    def open(cls, folder: Path, described: dict[str, Any], prefix: str = "pdq") -> Nearest:
        """The index that ``described`` is of. Raises Damaged where the files do not hold together."""
        rows, bands = _read(described)
        sizes = {
            "hashes": rows * 32,
            "directory": sum((1 << band.width) + 1 for band in bands) * 4,
            "postings": len(bands) * rows * 4,
            "signs": len(bands) * rows * 2,
        }
        index = cls(tuple(mapped(folder / f"{prefix}.{name}", size) for name, size in sizes.items()), rows, bands)
        if any(directory[0] != 0 or directory[-1] != rows for directory, _, _ in index._parts):
            raise Damaged(f"{prefix}.directory does not fit its rows")
        return index

    @classmethod
    def of(cls, hashes: Fingerprints) -> Nearest:
        """An index in memory of a few ``hashes`` (n, 32), which are all looked at."""
        held = np.ascontiguousarray(hashes, np.uint8)
        return cls((memoryview(held.reshape(-1).data), *(memoryview(b"") for _ in range(3))), len(held), ())

    def __len__(self) -> int:
        """How many rows there are."""
        return self._rows

    def within(self, queries: Fingerprints, radius: int = RADIUS, threads: int = 1, most: int | None = None) -> Hits:
        """Every row no further than ``radius`` bits from each of ``queries`` (m, 32); 0 to 255.

        With ``most``, only so many of each query, the nearest. A query may have as many hits as there are rows: where
        strangers choose them, give ``most`` or take :meth:`streamed`. Raises Damaged.
        """
        if threads <= 1 or len(queries) < 2 * threads:
            return Hits.together(list(self.streamed(queries, radius, most)))
        asked = _asked(queries, radius)
        cuts = [len(asked) * part // threads for part in range(threads + 1)]

        def part(low: int, high: int) -> Hits:
            found = Hits.together(list(self.streamed(asked[low:high], radius, most)))
            return found._replace(query=found.query + low)

        with ThreadPoolExecutor(threads) as pool:
            return Hits.together(list(pool.map(part, cuts[:-1], cuts[1:])))

    def streamed(
        self, queries: Fingerprints, radius: int = RADIUS, most: int | None = None, chunk: int = CHUNK
    ) -> Iterator[Hits]:
        """As :meth:`within`, a part at a time: whole queries, about ``chunk`` hits and no more than one query's beyond it.

        The memory in use is bounded by ``chunk``, and by 25 bytes a row of the index where a query finds them all.
        """
        asked = _asked(queries, radius)
        limit = _NO_LIMIT if most is None else most
        bands = planned(self.bands, self._rows, radius)
        if not self._rows or limit < 1:
            return
        at = 0
        while at < len(asked):
            at, hits = self._search(asked, at, radius, bands, max(chunk, 1), limit)
            if len(hits.row):
                yield hits

    def join(
        self, queries: Fingerprints, numbers: npt.NDArray[np.int64], parents: npt.NDArray[np.int64], radius: int
    ) -> None:
        """Join, in the forest ``parents``, the row ``numbers[i]`` with every row within ``radius`` of ``queries[i]``.

        A parent is never later than its child; a root is its own. Raises Damaged.
        """
        asked = _asked(queries, radius)
        bands = planned(self.bands, self._rows, radius)
        if KERNEL is not None:
            try:
                KERNEL.nearest_join(*self._memory(bands), asked, numbers, parents, radius, self._beyond())
            except OverflowError:
                raise self._damaged() from None
            return
        for hits in self.streamed(asked, radius):
            twin.join(numbers[hits.query], hits.row, parents)

    def _search(
        self, asked: Fingerprints, first: int, radius: int, bands: tuple[Band, ...], chunk: int, most: int
    ) -> tuple[int, Hits]:
        if KERNEL is None:
            return self._search_slowly(asked, first, radius, bands, chunk, most)
        try:
            following, query, row, distance = KERNEL.nearest_within(
                *self._memory(bands), asked, first, radius, self._beyond(), chunk, most
            )
        except OverflowError:
            raise self._damaged() from None
        return following, Hits(
            np.frombuffer(query, np.int64), np.frombuffer(row, np.int64), np.frombuffer(distance, np.uint8)
        )

    def _search_slowly(
        self, asked: Fingerprints, first: int, radius: int, bands: tuple[Band, ...], chunk: int, most: int
    ) -> tuple[int, Hits]:
        parts: list[Hits] = []
        held = 0
        while first < len(asked) and held < chunk:
            try:
                parts_of = self._parts if bands else []
                row, distance = twin.find(self.hashes, parts_of, bands, asked[first], radius, self._beyond())
            except twin.OutOfRange:
                raise self._damaged() from None
            parts.append(Hits(np.full(len(row[:most]), first), row[:most], distance[:most]))
            held += len(row)
            first += 1
        return first, Hits.together(parts)

    def _memory(self, bands: tuple[Band, ...]) -> tuple[Any, Any, Any, Any, Any]:
        """What the kernel reads: no bands, and no files of theirs, where every row is to be looked at."""
        hashes, directory, postings, signs = self._files
        if not bands:
            directory = postings = signs = memoryview(b"")
        return hashes, directory, postings, signs, np.array(bands, np.int32).reshape(-1, 5)

    def _beyond(self) -> int:
        return self._rows // _ROWS_A_CANDIDATE

    def _damaged(self) -> Damaged:
        return Damaged("the directory or the postings of the fingerprints name rows that are not there")


def _asked(queries: Fingerprints, radius: int) -> Fingerprints:
    if queries.ndim != 2 or queries.shape[1] != BITS // 8 or queries.dtype != np.uint8:
        raise UsedWrongly("Fingerprints are given as an array of bytes with 32 columns.")
    if not 0 <= radius <= FURTHEST:
        raise UsedWrongly("Fingerprints are looked for within a distance of 0 to 255.")
    return np.ascontiguousarray(queries)


def _read(described: dict[str, Any]) -> tuple[int, tuple[Band, ...]]:
    try:
        rows, bands = described["rows"], tuple(Band(*band) for band in described["bands"])
        numbers = [rows, *(number for band in bands for number in band)]
        if described["version"] != VERSION or any(type(number) is not int for number in numbers):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise Damaged("its header does not describe the fingerprints") from None
    ends = [0, *(band.start + band.width for band in bands)]
    if (
        not 0 <= rows <= MOST_ROWS
        or any(band.start != end or not 0 < band.width <= WIDEST for band, end in zip(bands, ends, strict=False))
        or (bands and ends[-1] != BITS)
        or len(bands) > MOST_BANDS
    ):
        raise Damaged("its header does not describe the fingerprints")
    return rows, ringed(bands)
