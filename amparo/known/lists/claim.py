"""What one entry of a list claims, and the tally of the entries that could not be used."""

from __future__ import annotations

import binascii
import hashlib
import json
from typing import Any

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
_LONGEST_TEXT = 1024
_SHOWN = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "pdq": "PDQ"}


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
        *,
        pdq: str | None = None,
        film: bytes | None = None,
        flags: dict[str, Any] | None = None,
    ) -> Claim | None:
        """The claim of the entry, counted; None, also counted, where it holds no digest that can be used."""
        try:
            found_md5, found_sha1, found_sha256 = digest("md5", md5), digest("sha1", sha1), digest("sha256", sha256)
            found_pdq = digest("pdq", pdq)
        except Unfit as why:
            self.skip(number, str(why))
            return None
        if not (found_md5 or found_sha1 or found_sha256 or found_pdq or film):
            self.skip(number, "there is no digest")
            return None
        if found_md5 in _EMPTIES or found_sha1 in _EMPTIES or found_sha256 in _EMPTIES:
            found_md5, found_sha1, found_sha256 = (
                None if d in _EMPTIES else d for d in (found_md5, found_sha1, found_sha256)
            )
            if not (found_md5 or found_sha1 or found_sha256 or found_pdq or film):
                self.empty += 1
                return None
        self.read += 1
        said = compact(flags) if flags else None
        return found_md5, found_sha1, found_sha256, found_pdq, film or None, legible(category), legible(entry), said


def digest(kind: str, text: str | None) -> bytes | None:
    """The bytes of a digest in hex, None for no text. Raises Unfit where it is shorter, longer or not hex."""
    if not text:
        return None
    text = text.strip()
    if not text:
        return None
    width = PDQ if kind == "pdq" else WIDTHS[kind]
    if len(text) != 2 * width:
        raise Unfit(f"the {_SHOWN[kind]} has {len(text)} characters, not {2 * width}")
    try:
        return binascii.unhexlify(text)
    except ValueError:
        raise Unfit(f"the {_SHOWN[kind]} holds something other than 0-9 and a-f") from None


def compact(flags: dict[str, Any]) -> str:
    """The flags as JSON without space, their names in order; as UTF-8 text that any database and file can hold."""
    text = json.dumps(flags, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace").decode()


def legible(value: Any) -> str | None:
    """A category or an identifier as text that any database and file can hold; None for nothing; at most 1,024 characters."""
    if value is None:
        return None
    text = str(value)[:_LONGEST_TEXT].strip()
    if not text:
        return None
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
