"""One entry of a list, as its readers give it and its writers take it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list: at least one digest or fingerprint, what the list says of it, and whether it is ordinary."""

    md5: bytes | None = None
    sha1: bytes | None = None
    sha256: bytes | None = None
    pdq: bytes | None = None  # the fingerprint of a picture, 32 bytes
    film: bytes | None = None  # the fingerprints of a film's frames in order, 32 bytes each
    category: str | None = None
    entry: str | None = None  # its identifier, or its file's name, in the list
    flags: str | None = None  # compact JSON, names in order: whatever else the list says of it, in the list's own terms
    list: str = ""
    good: bool = False  # known good: a file like this need not be looked at
