"""Answers of NCMEC's hash sharing interface, as XML: ``queryResult`` with ``images`` and ``videos``, streamed.

An ``image`` or ``video`` has an ``id`` (the entry), a ``classification`` (the category, A1 to B2), ``fingerprints`` (``md5``,
``sha1``, ``pdq`` …), a ``member`` and a ``timestamp``. ``deletedImage`` and ``deletedVideo`` take an entry back: they are given
as withdrawn, never as entries. Whatever has no place of its own in a claim is kept among the flags under its element's name,
with ``type`` for picture or film; ``pdna`` (PhotoDNA) is text that is never looked into. Namespaces are not asked for.
An element with attributes or elements inside is a JSON object: attributes as ``@name``, its text as ``#text``.

A document type is refused, so that no entity but the five of XML is ever expanded. An entry that is not sound XML is skipped,
and reading goes on at the next one. Several answers put one after another are one list.
Source: python-threatexchange 1.2.17, ``exchanges/clients/ncmec/hash_api.py``, and the answers in its tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from amparo.errors import UsedWrongly
from amparo.known.lists.claim import Claim, Tally, legible
from amparo.known.lists.markup import Element, Markup
from amparo.known.lists.source import ListFile

NAMESPACE = "https://hashsharing.ncmec.org/hashsharing/v2"
#: Elements of an entry that have a place of their own in a claim, and digests that have one.
OWN, DIGESTS = ("id", "classification"), ("md5", "sha1", "sha256", "pdq")
TEXT, ATTRIBUTE = "#text", "@"

_ENTRIES = {"image": "image", "video": "video", "deletedimage": "image", "deletedvideo": "video"}
_ROOT = re.compile(
    r"(?:<\?[^>]{0,500}>|<!--.{0,5000}?-->|\s)*(?:<!DOCTYPE\b|<(?:[\w.-]{1,80}:)?queryResult\b)", re.DOTALL
)
_ENCODING = re.compile(r"""<\?xml[^>]{0,200}\sencoding\s*=\s*["']([\w.:-]{1,40})["']""")


class Ncmec:
    """Reads an answer of the interface, or several."""

    format, scheme, good = "NCMEC XML", "NCMEC", False

    def claims(self, source: ListFile, tally: Tally) -> Iterator[Claim]:
        tally.unit = "entry"
        more = False
        for number, element in Markup(source, tally, frozenset(_ENTRIES), frozenset({"next"})).elements():
            if element.name.lower() == "next":
                more = bool(element.text.strip())
                continue
            claim = _claim(number, element, tally)
            if claim:
                yield claim
        if more:
            tally.say("the list says that more of it follows: ask for the rest")


def recognise(source: ListFile, lines: list[str]) -> Ncmec | None:
    """A reader, where the file begins as such an answer. Raises UsedWrongly where it has a document type."""
    text = "\n".join(lines)
    if not (begins := _ROOT.match(text)):
        return None
    if begins[0].endswith("DOCTYPE"):
        if "queryResult" not in text:
            return None
        raise UsedWrongly(
            f"The list {source.path} has a document type (DOCTYPE), which no such list needs: ask for it again."
        )
    if declared := _ENCODING.match(text.lstrip()):
        source.declare(declared[1])
    return Ncmec()


def _claim(number: int, element: Element, tally: Tally) -> Claim | None:
    flags: dict[str, Any] = {"type": _ENTRIES[element.name.lower()]}
    entry = category = None
    found: dict[str, str] = {}
    for child in element.children:
        if child.name == "id" and entry is None:
            entry = child.text.strip()
        elif child.name == "classification" and category is None:
            category = child.text.strip()
        elif child.name == "fingerprints":
            _fingerprints(number, child, found, flags, tally)
        else:
            _put(flags, child.name, _said(child))
    if element.name.lower().startswith("deleted"):
        withdrawn = None, None, None, None, None, legible(category), legible(entry), tally.flags(number, flags)
        tally.withdraw(number, withdrawn)
        return None
    for name, value in element.attributes.items():
        flags[ATTRIBUTE + name] = value
    return tally.claim(
        number, found.get("md5"), found.get("sha1"), found.get("sha256"), category, entry, pdq=found.get("pdq"), flags=flags
    )  # fmt: skip


def _fingerprints(number: int, element: Element, found: dict[str, str], flags: dict[str, Any], tally: Tally) -> None:
    others: dict[str, Any] = flags.get("fingerprints") or {}
    for child in element.children:
        text = child.text.strip()
        name = child.name.lower()
        if name not in DIGESTS or not text:
            _put(others, child.name, _said(child))
        elif name not in found:
            found[name] = text
        elif found[name].lower() != text.lower():
            tally.remark(number, f"it has two different values for {name}: the first counts")
            _put(others, child.name, _said(child))
    flags["fingerprints"] = others


def _said(element: Element) -> Any:
    """An element as JSON: its text, or an object where it has attributes or elements inside."""
    text = element.text.strip()
    if not element.attributes and not element.children:
        return text
    said: dict[str, Any] = {ATTRIBUTE + name: value for name, value in element.attributes.items()}
    for child in element.children:
        _put(said, child.name, _said(child))
    if text:
        said[TEXT] = text
    return said


def _put(said: dict[str, Any], name: str, value: Any) -> None:
    """Under the name, or in a list there where it is there already."""
    if name not in said:
        said[name] = value
    elif isinstance(said[name], list):
        said[name].append(value)
    else:
        said[name] = [said[name], value]
