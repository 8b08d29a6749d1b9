"""Terms that somebody must keep (``data/*/deadlines.toml``), and the terms of orders (from the measures)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

from amparo.law import counting
from amparo.law.counting import Length
from amparo.law.measures import Measure, measures
from amparo.law.tables import Row, find, in_force, read


@dataclass(frozen=True, kw_only=True)
class Deadline(Row):
    """``length`` of time from the event ``counts_from``; ``measure`` is the measure it belongs to, or empty."""

    length: Length
    counts_from: str
    measure: str = ""

    def due(self, start: datetime) -> datetime:
        """The last instant, in UTC, at which the act is in time; ``start`` (aware) is when the event happened."""
        return counting.due(start, self.length)

    def running_from(self, start: datetime) -> Running:
        """This deadline, set running by an event."""
        return Running(self, start)


@dataclass(frozen=True)
class Running:
    """A deadline that began: what a desk lists and counts down."""

    deadline: Deadline
    start: datetime

    @property
    def due(self) -> datetime:
        """The last instant in time, in UTC."""
        return self.deadline.due(self.start)

    def is_late(self, now: datetime) -> bool:
        """Whether the last instant has passed at ``now`` (aware)."""
        return now > self.due

    def left(self, now: datetime) -> timedelta:
        """The time left; negative once late."""
        return self.due - now


@cache
def deadlines() -> tuple[Deadline, ...]:
    """Every deadline of the tables, every version; after them the term of each measure that has one, as ``<measure>_term``."""
    return read("deadlines", _deadline) + tuple(_term(row) for row in measures() if row.valid_for is not None)


def deadlines_on(day: date) -> tuple[Deadline, ...]:
    """The deadlines that are law on that day."""
    return in_force(deadlines(), day)


def deadline(key: str, on: date | None = None) -> Deadline:
    """The deadline of that key as it is law ``on`` that day. Raises UsedWrongly: unknown key, or not law on that day."""
    return find(deadlines(), "deadline", key, on)


def _deadline(columns: dict[str, Any]) -> Deadline:
    length = Length(**{unit: columns.pop(unit) for unit in ("hours", "days", "months") if unit in columns})
    return Deadline(length=length, **columns)


def _term(row: Measure) -> Deadline:
    assert row.valid_for is not None
    common = {name: getattr(row, name) for name in Row.__dataclass_fields__}
    names = {
        "key": f"{row.key}_term",
        "name_pt": f"Prazo: {row.name_pt}",
        "name_en": f"Term of the order: {row.name_en}",
    }
    return Deadline(**{**common, **names}, length=row.valid_for, counts_from=row.counts_from, measure=row.key)
