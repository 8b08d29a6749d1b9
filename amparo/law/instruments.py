"""The texts that the other rows stand on: codes, laws, regulations, directives, conventions (``data/*/instruments.toml``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache

from amparo.law.tables import Row, find, in_force, read


@dataclass(frozen=True, kw_only=True)
class Instrument(Row):
    """``kind``: ``code``, ``law``, ``decree``, ``ruling``, ``guideline``, ``regulation``, ``directive`` or ``convention``.
    ``short``: how articles cite it. For a convention, ``in_force_from`` is the day it bound Portugal."""

    kind: str
    short: str


@cache
def instruments() -> tuple[Instrument, ...]:
    """Every instrument of the tables."""
    return read("instruments", lambda columns: Instrument(**columns))


def instruments_on(day: date) -> tuple[Instrument, ...]:
    """The instruments in force on that day."""
    return in_force(instruments(), day)


def instrument(key: str, on: date | None = None) -> Instrument:
    """The instrument of that key. Raises UsedWrongly: unknown key, or not in force on that day."""
    return find(instruments(), "instrument", key, on)
