"""Hash sets in VICS JSON 1.3 and 2.0 (Project VIC), streamed: memory does not grow with the list.

The root names the model (``odata.metadata`` or ``@odata.context``, ending in ``#Media``) and holds ``value``, the entries:
``MediaID`` (the entry), ``Category`` (a whole number), ``MD5``, ``SHA1``, and SHA-256 among ``AlternativeHashes``. PhotoDNA
values are not read. An entry that is not sound JSON is skipped, and reading goes on at the next one. This reads and
writes the layout that open tools use; no certification is claimed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from amparo.errors import UsedWrongly
from amparo.known.lists.claim import Claim, Tally
from amparo.known.lists.source import ListFile

_LARGEST = 1 << 22  # characters of one entry
_MOST_BROKEN = 1000  # entries, before it matters whether they are more than one in five
_SPACE = re.compile(r"[ \t\n\r]*")
_FIRST_KEY = re.compile(r'\{\s*"([^"\\]{1,40})"')
_VERSION = re.compile(r"DataModels/(\d+\.\d+)\.xml")
_INNER = {"PropertyName", "SegmentIndex", "FileName", "HashName"}  # what only the objects inside an entry have
_decode = json.JSONDecoder(strict=False).raw_decode


class _Broken(Exception):
    """What stands here is not sound JSON."""


class _Scroll:
    """A window on the text that moves on as it is read."""

    def __init__(self, texts: Iterator[str]) -> None:
        self._texts, self.text, self.at = texts, "", 0

    def more(self) -> bool:
        """Let go of what is behind, and at least double what is ahead; False at the end of the file."""
        ahead = [self.text[self.at :]]
        wanted = got = len(ahead[0])
        self.at = 0
        for text in self._texts:
            ahead.append(text)
            got += len(text)
            if got >= 2 * wanted and text:
                break
        self.text = "".join(ahead)
        return got > wanted

    def peek(self) -> str:
        """The next character that is not space, "" at the end."""
        while True:
            self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]  # it matches anywhere
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def value(self) -> Any:
        """The JSON value that begins here; the window moves behind it. Raises _Broken and stays."""
        while True:
            try:
                value, end = _decode(self.text, self.at)
            except RecursionError:
                raise _Broken("it is nested too deeply") from None
            except json.JSONDecodeError as error:
                # Text that merely ends too early is told by where the error lies; the longest literal has 9 letters.
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self.text) - 16
                if cut and len(self.text) - self.at < _LARGEST and self.more():
                    continue
                raise _Broken(f"it is not sound JSON ({error.msg[:1].lower()}{error.msg[1:]})") from None
            except ValueError:
                raise _Broken("it holds a number longer than any can be") from None
            if end == len(self.text) and self.text[end - 1] not in '}]"' and self.more():
                continue
            self.at = end
            return value

    def first_key(self) -> str | None:
        """The first key of the object that begins here."""
        if len(self.text) - self.at < 80:
            self.more()
        match = _FIRST_KEY.match(self.text, self.at)
        return match[1] if match else None

    def find(self, key: str) -> bool:
        """Move on to the next object whose first key is ``key``; False, and at the end, where there is none."""
        pattern = re.compile(rf'\{{\s*"{re.escape(key)}"')
        self.at = min(self.at + 1, len(self.text))
        while True:
            if match := pattern.search(self.text, self.at):
                self.at = match.start()
                return True
            self.at = max(self.at, len(self.text) - 200)
            if not self.more():
                self.at = len(self.text)
                return False


class Vics:
    """Reads a hash set."""

    good = False

    def __init__(self, version: str | None) -> None:
        self.format = f"VICS {version}" if version else "VICS"

    def claims(self, source: ListFile, tally: Tally) -> Iterator[Claim]:
        tally.unit = "entry"
        scroll = _Scroll(source.texts())
        try:
            found = _enter(scroll)
        except _Broken as why:
            raise UsedWrongly(f"The list {source.path} cannot be read before its first entry: {why}.") from None
        if not found:
            raise UsedWrongly(f'The list {source.path} has no "value" with the entries: is it a VICS hash set?')
        for number, entry in _entries(scroll, source, tally):
            if isinstance(entry, dict):
                claim = _claim(number, entry, tally, source)
                if claim:
                    yield claim
            else:
                tally.skip(number, "it is not an object")
        for _ in scroll._texts:  # to the end, for the file's digest
            pass


def recognise(lines: list[str]) -> Vics | None:
    """A reader, where the file begins as JSON."""
    text = "\n".join(lines).lstrip()
    if not text.startswith(("{", "[")):
        return None
    version = _VERSION.search(text)
    return Vics(version[1] if version else None)


def _enter(scroll: _Scroll) -> bool:
    """Move to the first entry: into the root's ``value``, or into the root where it is itself an array."""
    opening = scroll.peek()
    scroll.at += 1
    if opening == "[":
        return True
    while scroll.peek() == '"':
        key = scroll.value()
        if scroll.peek() != ":":
            raise _Broken("a colon is missing")
        scroll.at += 1
        if key == "value" and scroll.peek() == "[":
            scroll.at += 1
            return True
        scroll.peek()
        scroll.value()
        if scroll.peek() == ",":
            scroll.at += 1
    return False


def _entries(scroll: _Scroll, source: ListFile, tally: Tally) -> Iterator[tuple[int, Any]]:
    """Every entry with its place, from 1; what is not sound is skipped, up to the next object that begins like an entry."""
    number = broken = 0
    usual = ""
    while (begins := scroll.peek()) != "]":
        if not begins:
            tally.skip(number + 1, "the file ends before its list does: it was cut short")
            return
        number += 1
        first = scroll.first_key()
        try:
            entry = scroll.value()
            if isinstance(entry, dict) and entry:
                usual = next(iter(entry))
            yield number, entry
            follows = scroll.peek()
            if follows == ",":
                scroll.at += 1
            if follows in (",", "]", "{", ""):
                continue
            number += 1
            raise _Broken("what stands here is not an entry")
        except _Broken as why:
            tally.skip(number, str(why))
        broken += 1
        if broken > _MOST_BROKEN and broken * 5 > number:
            raise UsedWrongly(f"The list {source.path} is damaged around entry {number}: ask for it again.")
        # Programs write the members of an entry in one order, so the next one begins as the last sound one did.
        scroll.find(usual or first or "MediaID")


def _claim(number: int, entry: dict[str, Any], tally: Tally, source: ListFile) -> Claim | None:
    if "MD5" not in entry and "SHA1" not in entry:
        entry = {_CASED.get(key.lower(), key): value for key, value in entry.items()}
    if _INNER & entry.keys():
        return None  # the rest of an entry that broke off
    if isinstance(entry.get("Media"), list):
        raise UsedWrongly(f"{source.path} is a VICS case, not a hash set: export its hash set, or name another list.")
    sha256 = None
    others = entry.get("AlternativeHashes")
    for other in others if isinstance(others, list) else ():
        if isinstance(other, dict) and str(other.get("HashName")).upper().replace("-", "") == "SHA256":
            sha256 = other.get("HashValue")
    md5, sha1 = entry.get("MD5"), entry.get("SHA1")
    if any(value is not None and not isinstance(value, str) for value in (md5, sha1, sha256)):
        tally.skip(number, "a digest is not text")
        return None
    category, media = entry.get("Category"), entry.get("MediaID")
    return tally.claim(number, md5, sha1, sha256, _plain(category), _plain(media))


_CASED = {"md5": "MD5", "sha1": "SHA1", "category": "Category", "mediaid": "MediaID", "media": "Media"}


def _plain(value: Any) -> str | None:
    """A number or a text as text; nothing else means anything here."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
