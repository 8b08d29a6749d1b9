"""Sentences that were raised deep in the program, in English, told in the reader's language.

The tables of a package, the ledger and ``--json`` keep the English: it is part of a contract of data. Where a person reads
(the report, the terminal, the demonstration), :func:`in_language` finds the template that a sentence was made from, among
those of ``sentences/*.pt.toml``, and fills the Portuguese one. A sentence that no template made is shown as it is.

A template is the English sentence with its values in braces. ``{name}`` is anything, a file's name or a stranger's words,
and is never changed. ``{name:said}`` is a part that is itself such a sentence, and is translated alike. ``{name:number}`` is
an amount, which is grouped as the language groups it; ``{name:digits}`` a number that is a name (a byte's offset, a line);
``{name:day}`` a day such as ``3 Nov 2026``; ``{name:moment}`` a time in UTC, ISO 8601; ``{name:code}`` one such as ``E02``.
A name that begins with ``_`` may be left out of the translation.

Nothing here backtracks: a template is laid on a sentence by its fixed words, from the left and once more from the right,
and a sentence has so many attempts in all. What a hostile name holds can leave a sentence in English, and do nothing else.
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

from amparo.language import chosen, number
from amparo.law.bodies import bodies
from amparo.law.measures import measures
from amparo.law.tables import MONTHS

LONGEST: Final = 1 << 14  # characters of a sentence; a longer one is shown as it is
ATTEMPTS: Final = (
    100  # templates laid on a sentence and its parts; an honest one takes 5, the longest list of sectors 70
)
_ENOUGH: Final = 12  # letters by which a template is known though a part of it is not
_MONTHS_PT: Final = (
    "janeiro", "fevereiro", "março", "abril", "maio", "junho", "julho", "agosto", "setembro", "outubro", "novembro", "dezembro",
)  # fmt: skip
_TYPED: Final = {
    "number": re.compile(r"\d{1,3}(?:,\d{3})+(?!\d)|\d{1,30}", re.ASCII),
    "digits": re.compile(r"\d{1,30}", re.ASCII),
    "code": re.compile(r"[A-Z][A-Z0-9]{2}", re.ASCII),
    "moment": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII),
    "day": re.compile(rf"\d{{1,2}} (?:{'|'.join(MONTHS)}) \d{{4}}", re.ASCII),
}


class Place(NamedTuple):
    """A value's place in a template; ``kind`` is ``""``, ``said`` or one of those below."""

    name: str
    kind: str


@dataclass(frozen=True)
class Template:
    """An English sentence cut at its places (``words`` has one piece more than ``places``), and the Portuguese for it."""

    words: tuple[str, ...]
    places: tuple[Place, ...]
    portuguese: tuple[tuple[str, str], ...]  # fixed words, and the name of the place after them; the last has none
    letters: int  # of its own

    def laid_on(self, text: str) -> tuple[str, ...] | None:
        """The values, each place as short as it can be, seen from the left; None where the sentence was not made from this."""
        if not self._frames(text):
            return None
        at, end = len(self.words[0]), len(text) - len(self.words[-1])
        values = []
        for place, following in zip(self.places, (*self.words[1:-1], None), strict=True):
            typed = _TYPED.get(place.kind)
            if typed is not None:
                found = typed.match(text, at, end)
                stop = found.end() if found else -1
            else:
                stop = end if following is None else text.find(following, at, end)
            if stop < 0 or (stop != end if following is None else not text.startswith(following, stop, end)):
                return None
            values.append(text[at:stop])
            at = stop + len(following or "")
        return tuple(values)

    def laid_from_the_right(self, text: str) -> tuple[str, ...] | None:
        """As :meth:`laid_on`, seen from the right."""
        if not self._frames(text):
            return None
        start, end = len(self.words[0]), len(text) - len(self.words[-1])
        values: list[str] = []
        for place, before in zip(reversed(self.places), (*reversed(self.words[1:-1]), None), strict=True):
            begin = start if before is None else text.rfind(before, start, end)
            value = text[begin + len(before or "") : end]
            if begin < 0 or (place.kind in _TYPED and not _TYPED[place.kind].fullmatch(value)):
                return None
            values.append(value)
            end = begin
        return tuple(reversed(values))

    def _frames(self, text: str) -> bool:
        first, last = self.words[0], self.words[-1]
        return len(text) >= len(first) + len(last) and text.startswith(first) and text.endswith(last)


def in_language(sentence: str, language: str) -> str:
    """``sentence``, one that this program made in English, in ``language`` (``pt`` or ``en``); as it is where it is no such
    sentence. Never raises for what the sentence holds."""
    if language != "pt" or not sentence or len(sentence) > LONGEST:
        return sentence
    return _in_portuguese(sentence)


def here(sentence: str) -> str:
    """``sentence`` in the language of the terminal."""
    return in_language(sentence, chosen())


@lru_cache(maxsize=2048)
def _in_portuguese(sentence: str) -> str:
    found = _Translation().of(sentence)
    return sentence if found is None else found


class _Translation:
    """The translation of one sentence with its parts."""

    def __init__(self) -> None:
        self.left = ATTEMPTS
        self._parts: dict[str, str | None] = {}

    def of(self, text: str) -> str | None:
        """None where no template made it."""
        if text not in self._parts:
            self._parts[text] = None
            self._parts[text] = self._found(text)
        return self._parts[text]

    def _found(self, text: str) -> str | None:
        if (whole := _catalogue().whole.get(text)) is not None:
            return whole
        in_part = None
        for template in _catalogue().templates(text):
            for lay in (template.laid_on, template.laid_from_the_right):
                if self.left <= 0:
                    return in_part
                values = lay(text)
                if values is None:
                    continue
                self.left -= 1
                said, known = self._filled(template, values)
                if known:
                    return said
                if in_part is None and template.letters >= _ENOUGH:
                    in_part = said
                if len(values) < 2:
                    break
        return in_part

    def _filled(self, template: Template, values: tuple[str, ...]) -> tuple[str, bool]:
        shown, known = {}, True
        for place, value in zip(template.places, values, strict=True):
            if place.kind == "said" and value:
                part = self.of(value)
                known &= part is not None
                if not known and template.letters < _ENOUGH:
                    return "", False
                value = value if part is None else part
            elif place.kind in _SHOWN:
                value = _SHOWN[place.kind](value)
            shown[place.name] = value
        return "".join(words + shown.get(name, "") for words, name in template.portuguese), known


class Catalogue(NamedTuple):
    """``whole``: what has no places. ``beginning``: what has, by its first character, and by none what begins with a place;
    the template with the most words of its own first."""

    whole: dict[str, str]
    beginning: dict[str, tuple[Template, ...]]

    def templates(self, text: str) -> tuple[Template, ...]:
        """Those that may have made it."""
        return self.beginning.get(text[:1], self.beginning[""])


@cache
def sentences() -> dict[str, str]:
    """Every template as ``sentences/*.pt.toml`` have it, English to Portuguese. Raises ValueError where one comes twice."""
    read: dict[str, str] = {}
    for path in sorted(files("amparo").joinpath("sentences").iterdir(), key=lambda path: path.name):
        if path.name.endswith(".pt.toml"):
            table = tomllib.loads(path.read_text(encoding="utf-8"))
            if twice := read.keys() & table.keys():
                raise ValueError(f"{path.name} has again what another file has: {sorted(twice)[0]}")
            read |= table
    return read


def template_of(english: str, portuguese: str) -> Template:
    """The template of one entry."""
    words, places = [""], []
    for piece, name, kind in _pieces(english):
        words[-1] += piece
        if name is not None:
            places.append(Place(name, kind))
            words.append("")
    target = tuple((piece, name or "") for piece, name, _ in _pieces(portuguese))
    letters = sum(character.isalpha() for piece in words for character in piece)
    return Template(tuple(words), tuple(places), target, letters)


def _pieces(text: str) -> list[tuple[str, str | None, str]]:
    return [(piece, name, kind or "") for piece, name, kind, _ in string.Formatter().parse(text)]


@cache
def _catalogue() -> Catalogue:
    whole = {row.name_en: row.name_pt for row in (*measures(), *bodies())}
    templates = []
    for english, portuguese in sentences().items():
        template = template_of(english, portuguese)
        if template.places:
            templates.append(template)
        else:
            whole["".join(template.words)] = "".join(words for words, _ in template.portuguese)
    templates.sort(key=lambda template: -template.letters)
    firsts = {template.words[0][:1] for template in templates} | {""}
    return Catalogue(
        whole, {first: tuple(one for one in templates if one.words[0][:1] in ("", first)) for first in firsts}
    )


def _day(text: str) -> str:
    day, month, year = text.split(" ")
    return f"{day} de {_MONTHS_PT[MONTHS.index(month)]} de {year}"


def _moment(text: str) -> str:
    year, month, day = text[:10].split("-")
    if not 1 <= int(month) <= 12:
        return text
    return f"{int(day)} de {_MONTHS_PT[int(month) - 1]} de {year}, às {text[11:19]} UTC"


def _amount(text: str) -> str:
    return number(int(text.replace(",", "")), "pt")


_SHOWN: Final[dict[str, Callable[[str], str]]] = {"number": _amount, "day": _day, "moment": _moment}
