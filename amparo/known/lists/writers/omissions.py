"""What a format has no place for, and what an entry says beside its digests, for every writer."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

from amparo.known.lists.entry import Entry

NO_DIGEST: Final = "the entry, as the format holds none of its digests"
PARTS: Final = {
    "md5": "the MD5", "sha1": "the SHA-1", "sha256": "the SHA-256", "pdq": "the PDQ", "film": "the film's fingerprints",
    "category": "the category", "entry": "the identifier",
}  # fmt: skip
LINE_ENDS: Final = "line ends in a text, written as spaces"
CONTROLS: Final = "control characters, written as escapes"
_MOST = 1000  # kinds of omissions; a list names so many flags at most


class Omissions:
    """Counts, for each thing that has no place, the entries that had it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def note(self, what: str) -> None:
        if what not in self.counts and len(self.counts) >= _MOST:
            what = "more kinds of flags"
        self.counts[what] += 1

    def parts(self, entry: Entry, *held: str) -> bool:
        """Note every digest, the category and the identifier that the format does not hold; False where no digest is held."""
        if all(getattr(entry, kind) is None for kind in ("md5", "sha1", "sha256", "pdq", "film") if kind in held):
            self.note(NO_DIGEST)
            return False
        for part, name in PARTS.items():
            if part not in held and getattr(entry, part) is not None:
                self.note(name)
        return True

    def flags(self, names: Any) -> None:
        """Note flags of these names."""
        for name in names:
            self.note(f"the flag named {str(name)[:100]}")


def flags_of(entry: Entry) -> dict[str, Any]:
    """The flags of an entry; text that is no JSON object is kept under ``flags``."""
    if not entry.flags:
        return {}
    try:
        flags = json.loads(entry.flags)
    except (ValueError, RecursionError):
        flags = None
    return flags if isinstance(flags, dict) else {"flags": entry.flags}


def is_film(entry: Entry, flags: dict[str, Any]) -> bool | None:
    """Whether the entry is known to be of a film (True) or of a picture (False); None where nothing says it."""
    if entry.film is not None:
        return True
    if entry.pdq is not None:
        return False
    for name in ("type", "signalType", "signal_type", "Media Type", "MimeType"):
        said = flags.get(name)
        if isinstance(said, str):
            said = said.lower()
            if "video" in said:
                return True
            if "image" in said or "photo" in said:
                return False
    return None
