"""The offences against children that the office works on, with their penalties (``data/pt/offences.toml``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

from amparo.law.tables import Row, find, in_force, read


@dataclass(frozen=True, kw_only=True)
class Penalty:
    """Prison, in months, for one form of the offence (``form_en``, ``form_pt``). ``from_months`` is None where the article
    sets only the most."""

    up_to_months: int
    from_months: int | None = None
    form_en: str = "basic form"
    form_pt: str = "forma simples"


@dataclass(frozen=True, kw_only=True)
class Offence(Row):
    """``kind``: ``offence``, ``aggravation`` (changes the penalties of others, by ``factor``) or ``accessory_ban``.

    ``victim_from`` and ``victim_under``: the victim's age in years, from and below. The conventions' columns name the
    articles that oblige the State to punish this: Lanzarote (CETS 201), Directive 2011/93/EU, Budapest (ETS 185); they
    rest on memory, whatever the row's own basis.
    """

    kind: str = "offence"
    penalties: tuple[Penalty, ...] = ()
    factor: str = ""
    victim_from: int | None = None
    victim_under: int | None = None
    lanzarote: str = ""
    directive_2011_93: str = ""
    budapest: str = ""
    automatic: bool | None = None


@cache
def offences() -> tuple[Offence, ...]:
    """Every row of the table, every version."""
    return read("offences", _offence)


def offences_on(day: date) -> tuple[Offence, ...]:
    """The offences, aggravations and bans that are law on that day: a case is judged by the law of its date."""
    return in_force(offences(), day)


def offence(key: str, on: date | None = None) -> Offence:
    """The offence of that key as it is law ``on`` that day. Raises UsedWrongly: unknown key, or not law on that day."""
    return find(offences(), "offence", key, on)


def _offence(columns: dict[str, Any]) -> Offence:
    penalties = tuple(Penalty(**penalty) for penalty in columns.pop("penalties", ()))
    return Offence(penalties=penalties, **columns)
