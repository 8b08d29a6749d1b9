"""The run: things are listed while others are examined; one that brings its reader down is examined again with less."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from amparo.crew import Engine, Job
from amparo.errors import SourceUnreadable
from amparo.known.bulk.thing import Store, Thing, Trouble
from amparo.known.bulk.worker import Answer, Halt, Unit

BATCH_THINGS, BATCH_BYTES = 16, 8 << 20
SECONDS, SLOWEST_BYTES_A_SECOND = 120.0, 2 << 20  # for one thing


class _Broken(NamedTuple):
    why: str


Done = Callable[[Thing | Trouble], bool]


def examined(
    stores: Sequence[Store], engine: Engine, done: Done | None = None
) -> Iterator[tuple[Thing, Answer] | Trouble]:
    """Each thing of the stores that is not ``done``, once, with what came of it, in whatever order; and what could not be listed.

    Raises SourceUnreadable where a store or the index cannot be read any more.
    """
    again: deque[Unit] = deque()
    told: deque[Trouble] = deque()
    listing = _listed(stores, done, told)
    while True:
        for unit, result in engine.run(_jobs(listing, again), lambda unit, why: _Broken(why)):
            while told:
                yield told.popleft()
            if isinstance(result, Halt):
                raise SourceUnreadable(result.sentence)
            if isinstance(result, _Broken):
                following = _after(unit, result.why)
                if following is not None:
                    again.append(following)
                    continue
                result = Answer(0, problem=f"It cannot be examined: {result.why}.")
            unit.thing.place.discard()
            yield unit.thing, result
        while told:
            yield told.popleft()
        if not again:
            return


def _listed(stores: Sequence[Store], done: Done | None, told: deque[Trouble]) -> Iterator[Thing]:
    for store in stores:
        for thing in store.things():
            if done is not None and done(thing):
                if isinstance(thing, Thing):
                    thing.place.discard()
            elif isinstance(thing, Thing):
                yield thing
            else:
                told.append(thing)


def _jobs(listing: Iterator[Thing], again: deque[Unit]) -> Iterator[Job]:
    batch: list[Any] = []
    limits: list[float] = []
    size = 0
    while True:
        while again:
            unit = again.popleft()
            yield Job([unit], [_seconds(unit.thing.size)])
        thing = next(listing, None)
        if thing is None:
            break
        batch.append(Unit(thing))
        limits.append(_seconds(thing.size))
        size += thing.size
        if len(batch) >= BATCH_THINGS or size >= BATCH_BYTES:
            yield Job(batch, limits, size <= 2 * BATCH_BYTES)
            batch, limits, size = [], [], 0
    if batch:
        yield Job(batch, limits, size <= 2 * BATCH_BYTES)


def _seconds(size: int) -> float:
    return SECONDS + size / SLOWEST_BYTES_A_SECOND


def _after(unit: Unit, why: str) -> Unit | None:
    """What is tried next. A worker may have been killed for reasons of its own, so that a first such end says nothing."""
    if unit.tries == 0 and "SIGKILL" in why:
        return unit._replace(tries=1)
    return Unit(unit.thing, False, why, 2) if unit.decode else None
