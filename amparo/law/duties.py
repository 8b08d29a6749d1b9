"""What the law has somebody do without an order: tell, hear, presume, log, notify (``data/*/duties.toml``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

from amparo.law.tables import Row, find, in_force, read


@dataclass(frozen=True, kw_only=True)
class Fine:
    """An administrative fine, in euros, for breaking the duty with ``intent`` or by ``negligence``."""

    fault: str
    from_eur: int
    up_to_eur: int


@dataclass(frozen=True, kw_only=True)
class Duty(Row):
    """``bound``: who must; ``must``: what, in words; ``particulars``: what the act must state or contain, one by one."""

    bound: str
    must: str
    particulars: tuple[str, ...] = ()
    fines: tuple[Fine, ...] = ()


@cache
def duties() -> tuple[Duty, ...]:
    """Every duty of the tables, every version."""
    return read("duties", _duty)


def duties_on(day: date) -> tuple[Duty, ...]:
    """The duties that are law on that day."""
    return in_force(duties(), day)


def duty(key: str, on: date | None = None) -> Duty:
    """The duty of that key as it is law ``on`` that day. Raises UsedWrongly: unknown key, or not law on that day."""
    return find(duties(), "duty", key, on)


def _duty(columns: dict[str, Any]) -> Duty:
    return Duty(fines=tuple(Fine(**fine) for fine in columns.pop("fines", ())), **columns)
