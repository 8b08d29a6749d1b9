"""The report's words in one language: sentences from ``words.*.toml``, numbers, days and moments as that language writes them.

Whatever comes from the evidence passes through :func:`shown` on its way into a sentence, so no name can turn text around,
break a line or open a tag.
"""

from __future__ import annotations

import tomllib
import unicodedata
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from amparo.errors import UsedWrongly
from amparo.law.counting import counting
from amparo.terminal import visible

LANGUAGES = ("pt", "en")
_SIZES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def shown(value: object) -> Markup:
    """A value of the evidence as HTML: controls and direction marks as escapes, the rest escaped, and what is written from
    right to left kept apart from its neighbours. Markup stays as it is."""
    if isinstance(value, Markup):
        return value
    text = str(value)
    text = text if text.isprintable() else visible(text)
    return Markup("<bdi>{}</bdi>").format(text) if has_right_to_left(text) else escape(text)


def has_right_to_left(text: str) -> bool:
    """Whether any of it is written from right to left, and so could move what stands beside it."""
    return not text.isascii() and any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text)


class Words:
    """The sentences of one language, by dotted key."""

    def __init__(self, language: str) -> None:
        if language not in LANGUAGES:
            raise UsedWrongly(f'There is no report in "{language}": use one of {", ".join(LANGUAGES)}.')
        self.language = language
        self._texts = texts(language)
        self._zone = ZoneInfo(counting().zone)

    def __call__(self, key: str, **values: object) -> Markup:
        """The sentence of that key with its places filled. A KeyError is a typing slip here, never the evidence's doing."""
        text = self._texts.get(key)
        if text is None:
            text = self._texts[f"{key}.{'one' if values.get('n') == 1 else 'other'}"]
        if not values:
            return Markup(text)  # noqa: S704 - the text is ours
        return Markup(text.format_map({name: self._said(value) for name, value in values.items()}))  # noqa: S704

    def named(self, family: str, key: str | None) -> Markup:
        """The name of a key of the database in this language, or the key itself where no name is known."""
        text = self._texts.get(f"{family}.{key}")
        return Markup(text) if text is not None else shown(key if key else self("value.none"))  # noqa: S704

    def family(self, key: str) -> list[Markup]:
        """Every sentence below that key, in the order of the file."""
        return [Markup(text) for name, text in self._texts.items() if name.startswith(key + ".")]  # noqa: S704

    def number(self, value: int) -> Markup:
        """With its thousands told apart."""
        return Markup(f"{value:,}".replace(",", self._texts["number.thousands"]))  # noqa: S704

    def decimal(self, value: float) -> Markup:
        """With one digit after the point or comma."""
        return Markup(f"{value:.1f}".replace(".", self._texts["number.decimal"]))  # noqa: S704

    def size(self, value: int) -> Markup:
        """Bytes as people read them: ``1.4 GiB``."""
        for unit, name in _SIZES:
            if value >= unit:
                return Markup("{}\u00a0{}").format(self.decimal(value / unit), name)
        return Markup("{}\u00a0{}").format(self.number(value), self("number.bytes"))

    def size_exact(self, value: int) -> Markup:
        """Bytes as people read them, and exactly."""
        exact = Markup("{}\u00a0{}").format(self.number(value), self("number.bytes"))
        return exact if value < 1024 else Markup("{} ({})").format(self.size(value), exact)

    def day(self, value: date) -> Markup:
        """A day: ``23 de novembro de 2026``."""
        month = self._texts["date.months"].split()[value.month - 1]
        return self("date.day", day=Markup(value.day), month=Markup(month), year=Markup(value.year))  # noqa: S704

    def moment(self, value: datetime) -> Markup:
        """A moment in Lisbon with its offset, and in UTC."""
        there = value.astimezone(self._zone)
        offset = there.strftime("%z")
        return self(
            "date.moment", day=self.day(there.date()), time=there.strftime("%H:%M:%S"), offset=f"{offset[:3]}:{offset[3:]}",
            utc=value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        )  # fmt: skip

    def short(self, value: datetime) -> Markup:
        """A moment in Lisbon, to the minute."""
        there = value.astimezone(self._zone)
        return self("date.short", day=self.day(there.date()), time=there.strftime("%H:%M"))

    def listed(self, parts: list[Markup]) -> Markup:
        """``a, b and c``."""
        if len(parts) < 2:
            return parts[0] if parts else Markup()
        return self("value.list_join").join(parts[:-1]) + self("value.list_last") + parts[-1]

    def lisbon_day(self, value: datetime) -> date:
        """The day it was in Lisbon."""
        return value.astimezone(self._zone).date()

    def _said(self, value: object) -> Markup:
        return self.number(value) if isinstance(value, int) and not isinstance(value, bool) else shown(value)


@cache
def texts(language: str) -> dict[str, str]:
    """Every text of a language under its dotted key, in the order of the file."""
    return dict(_flat("", tomllib.loads(files(__package__).joinpath(f"words.{language}.toml").read_text("utf-8"))))


def _flat(prefix: str, table: dict[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in table.items():
        name = f"{prefix}{key}"
        rows += _flat(f"{name}.", value) if isinstance(value, dict) else [(name, str(value))]
    return rows
