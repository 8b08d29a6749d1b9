"""What the service counts, for Prometheus: each process has a row of memory that all share, and whoever is asked sums them.

No label is ever taken from a request: routes, codes and kinds are fixed, so that nobody outside can make them many, and none of
them names a key, a list, or what was asked for. ``metrics.toml`` says what there is.
"""

from __future__ import annotations

import mmap
import tomllib
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CELLS: Final = 1024  # series that a process can count
_VALUES: Final = 16  # of one series: a histogram's buckets, its sum; of others the first
_NAME: Final = 96  # bytes
_CELL: Final = _NAME + 8 * _VALUES


@cache
def described() -> dict[str, dict[str, Any]]:
    """What ``metrics.toml`` says of each."""
    return tomllib.loads(files("amparo.known.service").joinpath("metrics.toml").read_text("utf-8"))


class Board:
    """The memory that all processes share: made before they are started. A process counts on the row of its place."""

    def __init__(self, places: int) -> None:
        self.places = places
        self._memory = mmap.mmap(-1, places * CELLS * _CELL)
        kind = np.dtype([("name", f"S{_NAME}"), ("values", np.float64, (_VALUES,))])
        self.cells: npt.NDArray[Any] = np.frombuffer(self._memory, kind).reshape(places, CELLS)


class Meters(Collector):
    """One process's counters. It is not thread-safe: count in the event loop."""

    def __init__(self, board: Board, place: int) -> None:
        self._board, self._own = board, board.cells[place]
        names = self._own["name"]
        self._cells = {bytes(name): number for number, name in enumerate(names) if name}
        for name, number in self._cells.items():
            if described()[name.decode().split("|")[0]]["kind"] in (
                "gauge",
                "info",
            ):  # of the process that was here before
                self._own["values"][number] = 0

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Add to a counter or a gauge."""
        self._values(name, labels)[0] += by

    def set(self, name: str, value: float) -> None:
        """Set what is the same in all processes."""
        self._values(name, ())[0] = value

    def observe(self, name: str, label: str, value: float) -> None:
        """Add to a histogram."""
        values = self._values(name, (label,))
        values[bisect_left(described()[name]["buckets"], value)] += 1
        values[_VALUES - 1] += value

    def text(self) -> bytes:
        """All processes' counters as Prometheus reads them."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return bytes(generate_latest(registry))

    def collect(self) -> Iterable[Metric]:
        """For prometheus_client: each metric with its series, summed over the processes."""
        cells = self._board.cells
        sums: dict[str, npt.NDArray[np.float64]] = {}
        for place in range(self._board.places):
            for cell in cells[place][cells[place]["name"] != b""]:
                name = bytes(cell["name"]).decode()
                if described()[name.split("|")[0]]["kind"] == "info":
                    sums[name] = np.maximum(sums.get(name, np.zeros(_VALUES)), cell["values"])
                else:
                    sums[name] = sums.get(name, np.zeros(_VALUES)) + cell["values"]
        for name, what in described().items():
            yield from _family(name, what, sums)

    def _values(self, name: str, labels: tuple[str, ...]) -> npt.NDArray[np.float64]:
        full = "|".join((name, *labels)).encode()
        number = self._cells.get(full)
        if number is None:
            number = min(len(self._cells), CELLS - 1)  # there are fewer than that
            self._own["name"][number] = full
            self._cells[full] = number
        values: npt.NDArray[np.float64] = self._own["values"][number]
        return values


def _family(name: str, what: dict[str, Any], sums: dict[str, npt.NDArray[np.float64]]) -> Iterator[Metric]:
    rows = sorted((key.split("|")[1:], values) for key, values in sums.items() if key.split("|")[0] == name)
    if what["kind"] == "histogram":
        bounds = [*map(str, what["buckets"]), "+Inf"]
        histogram = HistogramMetricFamily(name, what["help"], labels=what["labels"])
        for labels, values in rows:
            counts = np.cumsum(values[: len(bounds)])
            histogram.add_metric(labels, list(zip(bounds, counts.tolist(), strict=True)), float(values[_VALUES - 1]))
        yield histogram
        return
    kind = CounterMetricFamily if what["kind"] == "counter" else GaugeMetricFamily
    family = kind(name, what["help"], labels=what["labels"])
    for labels, values in rows:
        family.add_metric(labels, float(values[0]))
    yield family
