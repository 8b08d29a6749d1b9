"""Categories of lists, mapped by tables to a small common scheme: to sort and to count, never to judge.

The list's own category is always kept and shown beside. The tables are ``data/*.toml``; each row names its source, and says
that no jurist has checked it. A category without a row has no common one: nothing is guessed. The scheme of a list is known
by its format (``KnownList.scheme``); a plain CSV has none until somebody names it.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Category:
    """A row: the scheme and its code, the scheme's own short label, the common category, where it stands, who confirmed it."""

    scheme: str
    code: str
    label: str
    common: str
    source: str
    checked: bool


def common(scheme: str | None, category: str | None) -> str | None:
    """The common category (a key of :func:`names`) of a category in a scheme; None where no row of the tables says it."""
    if scheme is None:
        return None
    row = _rows().get((scheme.casefold(), (category or "").strip().casefold()))
    return row.common if row else None


def row_of(scheme: str, category: str | None) -> Category | None:
    """The row, with its label and source."""
    return _rows().get((scheme.casefold(), (category or "").strip().casefold()))


def categories() -> tuple[Category, ...]:
    """Every row of every table."""
    return tuple(_rows().values())


@cache
def schemes() -> tuple[str, ...]:
    """The names of the schemes, also of those that have no row."""
    return tuple(scheme["name"] for table in _tables() for scheme in table.get("scheme", ()))


@cache
def names() -> dict[str, dict[str, str]]:
    """The common categories, each with its name in ``en`` and ``pt``."""
    return tomllib.loads((files("amparo.known.lists") / "data" / "common.toml").read_text("utf-8"))


@cache
def _rows() -> dict[tuple[str, str], Category]:
    return {
        (scheme["name"].casefold(), row["code"].casefold()): Category(scheme["name"], **row)
        for table in _tables()
        for scheme in table.get("scheme", ())
        for row in scheme.get("category", ())
    }


@cache
def _tables() -> tuple[dict[str, Any], ...]:
    folder = files("amparo.known.lists") / "data"
    tables = sorted((path for path in folder.iterdir() if path.name.endswith(".toml")), key=lambda path: path.name)
    return tuple(tomllib.loads(path.read_text("utf-8")) for path in tables if path.name != "common.toml")
