"""A Parquet file of digests and fingerprints, as a store of its rows; a worker asks the index of a group of them at a time.

The columns are ``md5``, ``sha1``, ``sha256`` and ``pdq``, any of them, in hexadecimal or as bytes; where there is a column
``quality``, fingerprints below :data:`~amparo.known.film_features.QUALITY` are not asked. Others are not read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from amparo.child import ChildDied, isolated
from amparo.errors import ReadFailed, SourceUnreadable, UsedWrongly
from amparo.known.bulk.thing import Thing, Trouble
from amparo.known.film_features import QUALITY
from amparo.known.hits import Hit
from amparo.known.index import KnownIndex

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

WIDTHS: Final = {"md5": 16, "sha1": 20, "sha256": 32, "pdq": 32}
MAGIC: Final = b"PAR1"
_ROWS: Final = 1 << 16  # read together
_MOST_GROUPS: Final = 1 << 20
_DIGITS: Final = np.full(256, 255, np.uint8)
for _value, _letter in enumerate(b"0123456789abcdef"):
    _DIGITS[_letter] = _DIGITS[ord(chr(_letter).upper())] = _value


class Known(NamedTuple):
    """A row that a list knows, with the digests by which it was asked, in lower hex."""

    row: int
    asked: dict[str, str]
    hits: tuple[Hit, ...]


class Group(NamedTuple):
    """Where a group of rows lies: the file, the number of the group, and of its first row in the file."""

    path: str
    number: int
    first: int

    def open(self) -> BinaryIO:
        """The whole file."""
        return Path(self.path).open("rb")

    def discard(self) -> None:
        """Nothing."""


class Table:
    """The rows of a Parquet file, a group of rows to a thing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def whole(self) -> str:
        """Its path, size and time."""
        status = self.path.stat()
        return f"{os.path.realpath(self.path)}\0{status.st_size}\0{status.st_mtime_ns}"

    def things(self) -> Iterator[Thing | Trouble]:
        """Every group. Raises SourceUnreadable where the file is damaged or has none of the columns, UsedWrongly where there is
        nothing to read such files with."""
        first = 0
        path = os.path.realpath(self.path)
        try:
            for number, (rows, size) in enumerate(isolated(_groups, path)):
                if rows:
                    name = f"{self.path}#{first}-{first + rows - 1}"
                    yield Thing(name, size, Group(path, number, first), number)
                first += rows
        except (ChildDied, OSError):
            raise SourceUnreadable(f"{self.path} is damaged, its groups of rows cannot be read.") from None


def _groups(path: str) -> Iterator[tuple[int, int]]:
    """How many rows and bytes each group has. Runs in a child."""
    file = _opened(path)
    if not _columns(file.schema_arrow.names):
        raise SourceUnreadable(f"{path} has no column md5, sha1, sha256 or pdq: rename those that it has.")
    for number in range(min(file.metadata.num_row_groups, _MOST_GROUPS)):
        group = file.metadata.row_group(number)
        yield max(0, group.num_rows), min(max(0, group.total_byte_size), Path(path).stat().st_size)


def _opened(path: str) -> Any:
    try:
        import pyarrow.parquet as pq  # type: ignore[import-untyped]
    except ImportError:
        raise UsedWrongly("Parquet files are read with pyarrow: install amparo[store].") from None
    return pq.ParquetFile(path, memory_map=False)


def _columns(names: list[str]) -> dict[str, str]:
    """What is asked of, by the column's own name."""
    return {name: name.lower() for name in names if name.lower() in WIDTHS}


def ask(group: Group, index: KnownIndex, radius: int) -> tuple[list[Known], int, int]:
    """The rows of a group that the index knows; how many rows there are, and how many values are neither digest nor fingerprint.

    Raises ReadFailed where the group is damaged.
    """
    import pyarrow as pa

    known: list[Known] = []
    first, unfit = group.first, 0
    try:
        file = _opened(group.path)
        columns = _columns(file.schema_arrow.names)
        quality = next((name for name in file.schema_arrow.names if name.lower() == "quality"), None)
        wanted = [*columns, quality] if quality else [*columns]
        for batch in file.iter_batches(_ROWS, row_groups=[group.number], columns=wanted, use_threads=False):
            asked = {columns[name]: _values(batch.column(name), WIDTHS[columns[name]]) for name in columns}
            unfit += sum(values.unfit for values in asked.values())
            if quality and "pdq" in asked:
                asked["pdq"] = _good(asked["pdq"], batch.column(quality))
            known += _known(asked, first, index, radius)
            first += len(batch)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ReadFailed(f"Its rows cannot be read ({type(error).__name__}).") from None
    return known, first - group.first, unfit


class _Values(NamedTuple):
    rows: npt.NDArray[np.int64]  # of the batch, those that have a value
    values: npt.NDArray[np.uint8]  # (n, width)
    unfit: int


def _values(column: pa.Array, width: int) -> _Values:
    import pyarrow as pa
    import pyarrow.compute as pc  # type: ignore[import-untyped]

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        return _Values(np.empty(0, np.int64), np.empty((0, width), np.uint8), 0)
    column = column.cast(pa.large_binary())
    lengths = pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)
    there = int(np.count_nonzero(lengths))
    rows: list[npt.NDArray[np.int64]] = []
    values: list[npt.NDArray[np.uint8]] = []
    for stride in (width, 2 * width):
        of = np.flatnonzero(lengths == stride)
        if not len(of):
            continue
        data = np.frombuffer(b"".join(column.take(pa.array(of)).to_pylist()), np.uint8).reshape(-1, stride)
        if stride == 2 * width:
            digits = _DIGITS[data]
            sound = (digits < 16).all(axis=1)
            of, digits = of[sound], digits[sound]
            data = np.asarray(digits[:, ::2] << 4 | digits[:, 1::2], np.uint8)
        rows.append(of)
        values.append(data)
    if not rows:
        return _Values(np.empty(0, np.int64), np.empty((0, width), np.uint8), there)
    taken = np.concatenate(rows)
    return _Values(taken, np.concatenate(values), there - len(taken))


def _good(values: _Values, quality: pa.Array) -> _Values:
    given = np.array([100 if value is None else value for value in quality.to_pylist()], np.float64)
    of = given[values.rows] >= QUALITY
    return _Values(values.rows[of], values.values[of], values.unfit)


def _known(asked: dict[str, _Values], first: int, index: KnownIndex, radius: int) -> list[Known]:
    found: dict[int, list[Hit]] = {}
    digests: dict[int, dict[str, bytes]] = {}
    candidates: set[int] = set()
    for kind, values in asked.items():
        if kind == "pdq":
            alike = index.look_alikes([[bytes(value)] for value in values.values], radius) if len(values.rows) else []
            for row, hits in zip(values.rows, alike, strict=True):
                if hits:
                    found[int(row)] = hits
        elif len(values.rows):
            candidates.update(values.rows[index.lookup_many(values.values) >= 0].tolist())
    wanted = np.array(sorted(candidates | found.keys()), np.int64)
    for kind, values in asked.items():
        for at in np.flatnonzero(np.isin(values.rows, wanted)):
            digests.setdefault(int(values.rows[at]), {})[kind] = bytes(values.values[at])
    known: list[Known] = []
    for row in wanted.tolist():
        of = digests[row]
        hits = index.lookup(**{kind: value for kind, value in of.items() if kind != "pdq"})
        told = {(hit.list, hit.entry, hit.category) for hit in hits}
        hits += [hit for hit in found.get(row, ()) if (hit.list, hit.entry, hit.category) not in told]
        if hits:
            known.append(Known(first + row, {kind: value.hex() for kind, value in of.items()}, tuple(hits)))
    return known
