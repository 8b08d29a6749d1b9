"""What one entry of a list claims, and the tally of what became of the entries."""

from __future__ import annotations

import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from amparo.known.lists.repeats import Repeats

#: What an entry says: md5, sha1, sha256; pdq, the fingerprint of a picture (32 bytes); film, those of a film's frames in
#: order (32 bytes each); category; entry, its identifier; flags, compact JSON of whatever else the list says of it, in the
#: list's own terms. At least one of the first five is there.
Claim = tuple[
    bytes | None, bytes | None, bytes | None, bytes | None, bytes | None, str | None, str | None, str | None
]  # fmt: skip

KINDS = ("md5", "sha1", "sha256")
WIDTHS = {"md5": 16, "sha1": 20, "sha256": 32}
PDQ = 32  # bytes of a picture's fingerprint
# An empty file matches every other empty file: its digest in a list says nothing about any picture.
EMPTY = {kind: hashlib.new(kind, usedforsecurity=False).digest() for kind in KINDS}
_EMPTIES = frozenset(EMPTY.values())

MOST_REASONS = 100
MOST_FLAGS = 1 << 16  # bytes of an entry's flags
LONGEST_TEXT = 1024  # characters of a category or an identifier
SHOWN = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "pdq": "PDQ", "film": "PDQ"}
_WIDTHS = {**WIDTHS, "pdq": PDQ}
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
_escape = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


class Unfit(ValueError):
    """A digest that is not what its column says it is; ``str(error)`` says why."""


class Tally:
    """What became of a list's entries.

    ``read`` were given; ``skipped`` cannot be used (``reasons`` has the first 100); ``empty`` were of empty files;
    ``withdrawn`` were taken back by the list itself. ``faulty`` are digests left out of entries that were given without
    them; ``remarks`` has the first 100 things to be said of entries that were given.
    """

    def __init__(
        self, unit: str = "line", watch: bool = True, withdrawn: Callable[[Claim], None] | None = None
    ) -> None:
        self.unit = unit
        self.read = self.skipped = self.empty = self.withdrawn = self.faulty = 0
        self.reasons: list[str] = []
        self.remarks: list[str] = []
        self.repeats = Repeats(self.remark)
        self._watch = watch  # for repeats: of what is ordinary, nobody asks
        self._give_withdrawn = withdrawn

    def skip(self, number: int, why: str) -> None:
        """Count an entry that cannot be used; ``number`` is its line, row or place in the list, from 1."""
        self.skipped += 1
        if len(self.reasons) < MOST_REASONS:
            self.reasons.append(f"{self.unit} {number}: {why}")

    def remark(self, number: int, what: str) -> None:
        """Keep something to be said of an entry that is given."""
        if len(self.remarks) < MOST_REASONS:
            self.remarks.append(f"{self.unit} {number}: {what}")

    def say(self, what: str) -> None:
        """Keep something to be said of the list as a whole."""
        if len(self.remarks) < MOST_REASONS:
            self.remarks.append(what)

    def fault(self, number: int, why: str) -> None:
        """Count a digest that is left out of an entry which is given without it."""
        self.faulty += 1
        self.remark(number, why)

    def withdraw(self, number: int, claim: Claim) -> None:
        """Count an entry that the list takes back; its claim may be without any digest."""
        self.withdrawn += 1
        self.remark(number, "the list takes it back")
        if self._give_withdrawn is not None:
            self._give_withdrawn(claim)

    def claim(
        self,
        number: int,
        md5: str | None,
        sha1: str | None,
        sha256: str | None,
        category: Any = None,
        entry: Any = None,
        *,
        pdq: str | None = None,
        film: bytes | None = None,
        flags: Mapping[str, Any] | None = None,
    ) -> Claim | None:
        """The claim of the entry, counted; None, also counted, where it holds no digest that can be used."""
        faults: list[str] = []
        found_md5 = _digest("md5", md5, faults) if md5 else None
        found_sha1 = _digest("sha1", sha1, faults) if sha1 else None
        found_sha256 = _digest("sha256", sha256, faults) if sha256 else None
        found_pdq = _digest("pdq", pdq, faults) if pdq else None
        if not (found_md5 or found_sha1 or found_sha256 or found_pdq or film):
            self.skip(number, faults[0] if faults else _why_none(flags))
            return None
        if found_md5 in _EMPTIES or found_sha1 in _EMPTIES or found_sha256 in _EMPTIES:
            found_md5, found_sha1, found_sha256 = (
                None if d in _EMPTIES else d for d in (found_md5, found_sha1, found_sha256)
            )
            if not (found_md5 or found_sha1 or found_sha256 or found_pdq or film):
                self.empty += 1
                return None
        for fault in faults:
            self.fault(number, fault)
        self.read += 1
        called, named = legible(category), legible(entry)
        if (called is not None and len(called) == LONGEST_TEXT) or (named is not None and len(named) == LONGEST_TEXT):
            self.remark(number, "a text longer than 1,024 characters is cut")
        if self._watch:
            other = found_sha1 if found_md5 is not None else found_sha256 if found_sha1 is not None else None
            known_by = found_md5 or found_sha1 or found_sha256 or found_pdq or film
            assert known_by is not None  # seen above
            self.repeats.note(number, known_by, other, called)
        said = self.flags(number, flags) if flags else None
        return found_md5, found_sha1, found_sha256, found_pdq, film or None, called, named, said

    def flags(self, number: int, flags: Mapping[str, Any]) -> str | None:
        """The flags as JSON; those that are longest are left out, and told, where it would have over 65,536 bytes."""
        kept = {name: value for name, value in flags.items() if value is not None and value not in ("", [], {})}
        if not kept:
            return None
        try:
            said = compact(kept)
            while len(said) > MOST_FLAGS // 4 and len(said.encode()) > MOST_FLAGS and kept:
                longest = max(kept, key=lambda name: len(compact({name: kept[name]})))
                del kept[longest]
                self.remark(number, f"what it says under {longest[:100]} is too long to be kept")
                said = compact(kept)
        except RecursionError:
            self.remark(number, "what it says beside its digests is nested too deeply to be kept")
            return None
        return said if kept else None


def _why_none(flags: Mapping[str, Any] | None) -> str:
    if flags and any(name in str(flags).lower() for name in ("photodna", "pdna")):
        return "its only digest is a PhotoDNA value, which is not compared here"
    return "there is no digest"


def compact(flags: Mapping[str, Any]) -> str:
    """The flags as JSON without space, their names in order; as UTF-8 text that any database and file can hold."""
    text = _encode(flags)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half a character: escaped, as JSON can
            text = _escape(flags)
    return text


def digest(kind: str, text: str | None) -> bytes | None:
    """The bytes of a digest in hex, None for no text. Raises Unfit where it is shorter, longer or not hex."""
    if not text:
        return None
    text = text.strip()
    if not text:
        return None
    width = _WIDTHS[kind]
    if len(text) != 2 * width:
        raise Unfit(f"the {SHOWN[kind]} has {len(text)} characters, not {2 * width}")
    try:
        return binascii.unhexlify(text)
    except ValueError:
        raise Unfit(f"the {SHOWN[kind]} holds something other than 0-9 and a-f") from None


def _digest(kind: str, text: str | None, faults: list[str]) -> bytes | None:
    try:
        return digest(kind, text)
    except Unfit as why:
        faults.append(str(why))
        return None


def legible(value: Any) -> str | None:
    """A category or an identifier as text that any database and file can hold; None for nothing; at most 1,024 characters."""
    if value is None:
        return None
    text = str(value)[:LONGEST_TEXT].strip()
    if not text:
        return None
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
