"""What one entry of a list claims, and the tally of the entries that could not be used."""

from __future__ import annotations

import binascii
import hashlib
from typing import Any

#: md5, sha1, sha256, category, entry: what an entry says; at least one digest is there.
Claim = tuple[bytes | None, bytes | None, bytes | None, str | None, str | None]

KINDS = ("md5", "sha1", "sha256")
WIDTHS = {"md5": 16, "sha1": 20, "sha256": 32}
# An empty file matches every other empty file: its digest in a list says nothing about any picture.
EMPTY = {kind: hashlib.new(kind, usedforsecurity=False).digest() for kind in KINDS}
_EMPTIES = frozenset(EMPTY.values())

MOST_REASONS = 100
_LONGEST_TEXT = 1024
_SHOWN = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256"}


class Unfit(ValueError):
    """A digest that is not what its column says it is; ``str(error)`` says why."""


class Tally:
    """What became of a list's entries: how many were read, were skipped (with the first 100 reasons), were of empty files."""

    def __init__(self, unit: str = "line") -> None:
        self.unit = unit
        self.read = self.skipped = self.empty = 0
        self.reasons: list[str] = []

    def skip(self, number: int, why: str) -> None:
        """Count an entry that cannot be used; ``number`` is its line, row or place in the list, from 1."""
        self.skipped += 1
        if len(self.reasons) < MOST_REASONS:
            self.reasons.append(f"{self.unit} {number}: {why}")

    def claim(
        self,
        number: int,
        md5: str | None,
        sha1: str | None,
        sha256: str | None,
        category: Any = None,
        entry: Any = None,
    ) -> Claim | None:
        """The claim of the entry, counted; None, also counted, where it holds no digest that can be used."""
        try:
            found_md5, found_sha1, found_sha256 = digest("md5", md5), digest("sha1", sha1), digest("sha256", sha256)
        except Unfit as why:
            self.skip(number, str(why))
            return None
        if not (found_md5 or found_sha1 or found_sha256):
            self.skip(number, "there is no digest")
            return None
        if found_md5 in _EMPTIES or found_sha1 in _EMPTIES or found_sha256 in _EMPTIES:
            found_md5, found_sha1, found_sha256 = (
                None if d in _EMPTIES else d for d in (found_md5, found_sha1, found_sha256)
            )
            if not (found_md5 or found_sha1 or found_sha256):
                self.empty += 1
                return None
        self.read += 1
        return found_md5, found_sha1, found_sha256, legible(category), legible(entry)


def digest(kind: str, text: str | None) -> bytes | None:
    """The bytes of a digest in hex, None for no text. Raises Unfit where it is shorter, longer or not hex."""
    if not text:
        return None
    text = text.strip()
    if not text:
        return None
    if len(text) != 2 * WIDTHS[kind]:
        raise Unfit(f"the {_SHOWN[kind]} has {len(text)} characters, not {2 * WIDTHS[kind]}")
    try:
        return binascii.unhexlify(text)
    except ValueError:
        raise Unfit(f"the {_SHOWN[kind]} holds something other than 0-9 and a-f") from None


def legible(value: Any) -> str | None:
    """A category or an identifier as text that any database and file can hold; None for nothing; at most 1,024 characters."""
    if value is None:
        return None
    text = str(value)[:_LONGEST_TEXT].strip()
    if not text:
        return None
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
