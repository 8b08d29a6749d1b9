"""How the law counts time: days are days in Lisbon, hours are hours.

A day of law begins and ends at midnight in the zone that ``data/pt/counting.toml`` names. The day of the event is not
counted and the last day is (Código Civil, art. 279): thirty days from 20 November end with 20 December, at midnight. A
term in months ends on the same day of the last month, or on its last day where that month has no such day. A term in
hours is so many hours of elapsed time, whatever the clocks do. No term is carried over a Sunday or a holiday: that rule
serves acts before a court, and here it would lengthen an order.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from amparo.law.tables import Row, find, read


@dataclass(frozen=True, kw_only=True)
class Counting(Row):
    """The rule: in which ``zone`` a day is a day, and whether the day of the event is the first of the term."""

    zone: str
    first_day_counts: bool


@dataclass(frozen=True)
class Length:
    """A length of time as the law writes it; exactly one of the three is not 0."""

    hours: int = 0
    days: int = 0
    months: int = 0

    def __post_init__(self) -> None:
        if sorted((self.hours, self.days, self.months))[:2] != [0, 0] or self.hours + self.days + self.months <= 0:
            raise ValueError(f"a term is so many hours, days or months, and only one of them: {self}")


@cache
def counting() -> Counting:
    """The one row of ``counting.toml``."""
    return find(read("counting", lambda columns: Counting(**columns)), "way of counting", "calendar")


@cache
def _zone() -> ZoneInfo:
    return ZoneInfo(counting().zone)


def law_day(moment: datetime) -> date:
    """The day it is, by law, at an aware moment. Raises ValueError where the moment has no zone."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone falls on no day of law")
    return moment.astimezone(_zone()).date()


def end_of(day: date) -> datetime:
    """The last instant of a day of law, in UTC, to the microsecond."""
    midnight = datetime.combine(day + timedelta(days=1), time(), _zone())
    return midnight.astimezone(UTC) - timedelta(microseconds=1)


def last_day(start: date, length: Length) -> date:
    """The last day of a term in days or months that the event of day ``start`` set running."""
    if length.hours:
        raise ValueError("a term in hours has an instant, not a last day")
    whole = start.year * 12 + start.month - 1 + length.months
    year, month = divmod(whole, 12)
    day = start.replace(year=year, month=month + 1, day=min(start.day, monthrange(year, month + 1)[1]))
    return day + timedelta(days=length.days - (1 if counting().first_day_counts else 0))


def due(start: datetime, length: Length) -> datetime:
    """The last instant, in UTC, of a term that the event at ``start`` (aware) set running."""
    day = law_day(start)
    return start.astimezone(UTC) + timedelta(hours=length.hours) if length.hours else end_of(last_day(day, length))
