"""Who acts: the authorities that order, and the services that a child or a family is referred to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from amparo.law.tables import Row, find, read


@dataclass(frozen=True, kw_only=True)
class Body(Row):
    """``kind`` is ``authority`` or ``service``. ``counts_as``: the wider authorities it is one of (a judge is a judicial
    authority). ``ask_en``: whom an officer turns to, as a sentence says it."""

    kind: str
    ask_en: str
    counts_as: tuple[str, ...] = ()

    def is_one_of(self, authorities: tuple[str, ...]) -> bool:
        """Whether an act reserved to these authorities may be this body's."""
        return self.key in authorities or any(wider in authorities for wider in self.counts_as)


@cache
def bodies() -> tuple[Body, ...]:
    """Every authority and service of the tables."""
    return read("bodies", lambda columns: Body(**columns))


def authority(key: str) -> Body:
    """The authority of that key. Raises UsedWrongly, listing the known ones."""
    return find(tuple(body for body in bodies() if body.kind == "authority"), "authority", key)


def services() -> tuple[Body, ...]:
    """The services that a child or a family can be referred to."""
    return tuple(body for body in bodies() if body.kind == "service")
