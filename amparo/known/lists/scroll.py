"""JSON of any size read entry by entry, past whatever is broken in it: a window on the text moves on as it is read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from amparo.errors import UsedWrongly
from amparo.known.lists.claim import Tally
from amparo.known.lists.source import ListFile

_LARGEST = 1 << 22  # characters of one entry
_MOST_MEMBERS = 64  # of the root, before its entries
_MOST_BROKEN = 1000  # entries, before it matters whether they are more than one in five
_SPACE = re.compile(r"[ \t\n\r]*")
_FIRST_KEY = re.compile(r'\{\s*"([^"\\]{1,40})"')


def _number(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


# What is no JSON but often written (NaN), and what no other program could read again (1e999), is kept as text.
_decode = json.JSONDecoder(strict=False, parse_constant=str, parse_float=_number).raw_decode


class Broken(Exception):
    """What stands here is not sound JSON."""


class Scroll:
    """A window on the text that moves on as it is read."""

    def __init__(self, texts: Iterator[str]) -> None:
        self.texts, self.text, self.at = texts, "", 0

    def more(self) -> bool:
        """Let go of what is behind, and at least double what is ahead; False at the end of the file."""
        ahead = [self.text[self.at :]]
        wanted = got = len(ahead[0])
        self.at = 0
        for text in self.texts:
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
        """The JSON value that begins here; the window moves behind it. Raises Broken and stays."""
        while True:
            try:
                value, end = _decode(self.text, self.at)
            except RecursionError:
                raise Broken("it is nested too deeply") from None
            except json.JSONDecodeError as error:
                # Text that merely ends too early is told by where the error lies; the longest literal has 9 letters.
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self.text) - 16
                if cut and len(self.text) - self.at < _LARGEST and self.more():
                    continue
                raise Broken(f"it is not sound JSON ({error.msg[:1].lower()}{error.msg[1:]})") from None
            except ValueError:
                raise Broken("it holds a number longer than any can be") from None
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

    def find(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Move on to the next place where ``pattern`` (of no more than 200 characters) fits; to the end where there is none."""
        self.at = min(self.at + 1, len(self.text))
        while True:
            if match := pattern.search(self.text, self.at):
                self.at = match.start()
                return match
            self.at = max(self.at, len(self.text) - 200)
            if not self.more():
                self.at = len(self.text)
                return None


def enter(scroll: Scroll, name: str) -> tuple[bool, dict[str, Any]]:
    """Move to the first entry: into the root's ``name``, or into the root where it is itself an array.

    Gives whether there is one, and the members that the root has before it. Raises Broken.
    """
    opening = scroll.peek()
    scroll.at += 1
    before: dict[str, Any] = {}
    if opening == "[":
        return True, before
    while scroll.peek() == '"':
        key = scroll.value()
        if scroll.peek() != ":":
            raise Broken("a colon is missing")
        scroll.at += 1
        if key == name and scroll.peek() == "[":
            scroll.at += 1
            return True, before
        scroll.peek()
        value = scroll.value()
        if len(before) < _MOST_MEMBERS:
            before[key] = value
        if scroll.peek() == ",":
            scroll.at += 1
    return False, before


def entries(scroll: Scroll, source: ListFile, tally: Tally, usual: str, number: int = 0) -> Iterator[tuple[int, Any]]:
    """Every entry with its place, counted on from ``number``, up to the end of the array.

    What is not sound is skipped, up to the next object that begins like an entry, with the key ``usual`` where none was
    read yet. Raises UsedWrongly where more than a thousand and one in five are not.
    """
    broken = 0
    key = ""
    while (begins := scroll.peek()) != "]":
        if not begins:
            tally.skip(number + 1, "the file ends before its list does: it was cut short")
            return
        number += 1
        first = scroll.first_key()
        try:
            entry = scroll.value()
            if isinstance(entry, dict) and entry:
                key = next(iter(entry))
            yield number, entry
            follows = scroll.peek()
            if follows == ",":
                scroll.at += 1
            if follows in (",", "]", "{", ""):
                continue
            number += 1
            raise Broken("what stands here is not an entry")
        except Broken as why:
            tally.skip(number, str(why))
        broken += 1
        if broken > _MOST_BROKEN and broken * 5 > number:
            raise UsedWrongly(f"The list {source.path} is damaged around entry {number}: ask for it again.")
        # Programs write the members of an entry in one order, so the next one begins as the last sound one did.
        scroll.find(re.compile(rf'\{{\s*"{re.escape(key or first or usual)}"'))
    scroll.at += 1


def plain(value: Any) -> str | None:
    """A number or a text as text; nothing else means anything here."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
