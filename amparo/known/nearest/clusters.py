"""Near-duplicates grouped: the connected components of the rows of an index, two being joined where they are near."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from amparo.known.nearest import twin
from amparo.known.nearest.base import Nearest

_ASKED: Final = 1 << 14  # rows asked for together


def clusters(nearest: Nearest, radius: int) -> npt.NDArray[np.int64]:
    """For each row the first row of its group (n,): two rows are in one group where a chain of rows leads from one to the
    other, each no further than ``radius`` bits from the next. Memory: about 40 bytes a row, whatever the set. Raises Damaged.
    """
    rows = len(nearest)
    parents = np.arange(rows)
    asked = _representatives(nearest.hashes, parents)
    for at in range(0, len(asked), _ASKED):
        numbers = asked[at : at + _ASKED]
        nearest.join(nearest.hashes[numbers], numbers, parents, radius)
    return twin.rooted(parents)


def _representatives(hashes: npt.NDArray[np.uint8], parents: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """One row of each run of equal rows, the others joined to it: a row that comes a million times is asked for once.

    Runs are found in the order of a mixture of each row's words. Rows that differ and mix alike may part a run, which
    costs a question more and changes nothing.
    """
    mixed = np.empty(len(hashes), np.uint64)
    for at in range(0, len(hashes), 1 << 18):
        words = twin.words_of(hashes[at : at + (1 << 18)])
        mixed[at : at + (1 << 18)] = (words * np.array([1, 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9],
                                                       np.uint64)).sum(axis=1, dtype=np.uint64)  # fmt: skip
    order = np.argsort(mixed, kind="stable")
    del mixed
    first = np.ones(len(hashes), bool)
    for at in range(1, len(hashes), 1 << 18):
        end = min(at + (1 << 18), len(hashes))
        first[at:end] = (hashes[order[at:end]] != hashes[order[at - 1 : end - 1]]).any(axis=1)
    # Stable: within a run the rows ascend, so the first is the least.
    starts = np.flatnonzero(first)
    parents[order] = order[np.repeat(starts, np.diff(starts, append=len(hashes)))]
    return np.sort(order[starts])
