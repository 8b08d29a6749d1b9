"""The kernel in C (``native/nearest.c``) where it is built, or None; :mod:`amparo.known.nearest.twin` gives the same."""

from __future__ import annotations

import importlib
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from amparo.known.nearest import twin
from amparo.known.nearest.bands import Band

Found = tuple[int, bytearray, bytearray, bytearray]
Memory = Any  # whatever has a buffer: an array, a mapped file


class Kernel(Protocol):
    """What :mod:`amparo.known._native` has for range search. OverflowError: a number in a file is out of its range."""

    def nearest_within(
        self, hashes: Memory, directory: Memory, postings: Memory, signs: Memory, bands: Memory, queries: Memory, first: int,
        radius: int, scan_beyond: int, chunk: int, most: int, /,
    ) -> Found:  # fmt: skip
        """Search from the query ``first`` on, until ``chunk`` hits are held: the query to go on with, and the hits."""

    def nearest_join(
        self, hashes: Memory, directory: Memory, postings: Memory, signs: Memory, bands: Memory, queries: Memory,
        numbers: Memory, parents: Memory, radius: int, scan_beyond: int, /,
    ) -> None:  # fmt: skip
        """Join each query's row with the rows near it, in a forest whose parents are never later than their children."""

    def nearest_sort(
        self, hashes: Memory, start: int, width: int, sign: int, directory: Memory, postings: Memory, signs: Memory, /
    ) -> None:  # fmt: skip
        """Fill the directory and the postings of one band."""

    def nearest_kernel(self, name: str | None = ..., /) -> str:
        """The instructions in use; with a name (None for the best), choose them."""


def _built() -> Kernel | None:
    try:
        module = importlib.import_module("amparo.known._native")
    except ImportError:  # no compiler was at hand when the package was installed
        return None
    return cast(Kernel, module) if hasattr(module, "nearest_within") else None


KERNEL = _built()


def sort_by_band(
    hashes: npt.NDArray[np.uint8], band: Band,
    directory: npt.NDArray[np.uint32], postings: npt.NDArray[np.uint32], signs: npt.NDArray[np.uint16],
) -> None:  # fmt: skip
    """Fill one band's ``directory`` (2^width + 1,), ``postings`` (n,) and ``signs`` (n,) for ``hashes`` (n, 32), contiguous."""
    if KERNEL is not None:
        KERNEL.nearest_sort(hashes, band.start, band.width, band.sign, directory, postings, signs)
    else:
        twin.sort_by_band(hashes, band, directory, postings, signs)
