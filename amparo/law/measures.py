"""What may be done to get at data, who orders it, what it authorises, for how long (``data/*/measures.toml``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache

from amparo.errors import UsedWrongly
from amparo.law.bodies import Body
from amparo.law.counting import Length
from amparo.law.tables import Row, find, in_force, read

# The acts a measure can authorise, each as a sentence names it.
ACTS = {
    "search": "a search",
    "gather": "the gathering of files",
    "gather_mail": "the seizure of e-mail",
    "preserve": "a preservation",
    "demand": "a demand for data",
    "demand_removal": "a demand to remove content",
    "intercept": "an interception",
    "operate_undercover": "a covert operation",
    "block": "a blocking",
}


@dataclass(frozen=True, kw_only=True)
class Measure(Row):
    """One measure.

    ``ordered_by``: the authorities that may order it (none: nobody orders it directly, see ``through``). ``urgent_by``:
    who may act first in urgency; such an act authorises nothing further before it is validated. ``authorises``: keys of
    :data:`ACTS`. ``valid_days`` or ``valid_months``: the term of the order, None where the law sets none, counted from
    ``counts_from`` (``issued``, ``able_to_search``, ``received``). ``limits``: the law's conditions, in words.
    ``order_en``: how a sentence calls the order.
    """

    order_en: str
    ordered_by: tuple[str, ...]
    authorises: tuple[str, ...]
    urgent_by: tuple[str, ...] = ()
    requested_by: str = ""
    validated_by: str = ""
    follows: str = ""
    through: tuple[str, ...] = ()
    valid_days: int | None = None
    valid_months: int | None = None
    counts_from: str = ""
    limits: tuple[str, ...] = ()

    @property
    def valid_for(self) -> Length | None:
        """The term of the order, or None where the law sets none."""
        if self.valid_days is None and self.valid_months is None:
            return None
        return Length(days=self.valid_days or 0, months=self.valid_months or 0)

    def may_be_ordered_by(self, body: Body) -> bool:
        """Whether an order of this authority can carry the measure."""
        return body.is_one_of(self.ordered_by)

    def may_be_urgent_by(self, body: Body) -> bool:
        """Whether this authority may act first in urgency, to be validated."""
        return body.is_one_of(self.urgent_by)


@cache
def measures() -> tuple[Measure, ...]:
    """Every measure of the tables, every version."""
    return read("measures", lambda columns: Measure(**columns))


def measures_on(day: date) -> tuple[Measure, ...]:
    """The measures that are law on that day."""
    return in_force(measures(), day)


def measure(key: str, on: date | None = None) -> Measure:
    """The measure of that key as it is law ``on`` that day (today's newest version where no day is given).

    Raises UsedWrongly: unknown key (the known ones are listed), or not law on that day.
    """
    return find(measures(), "measure", key, on)


def measures_authorising(act: str) -> tuple[Measure, ...]:
    """The measures that somebody orders and that authorise the act. Raises UsedWrongly for an act that is none of ACTS."""
    if act not in ACTS:
        raise UsedWrongly(f'"{act}" is not an act that the law tables know; use one of {", ".join(ACTS)}.')
    return tuple(row for row in measures() if act in row.authorises and row.ordered_by)
