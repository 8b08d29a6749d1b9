"""What a check found: one thing, whether it is as it should be, and the sentence that says so."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that was checked. ``what`` is a sentence that names it; where ``ok`` is false it names what is wrong."""

    ok: bool
    what: str


def shown(name: bytes | str, longest: int = 200) -> str:
    """A file name from a stranger's disk as one harmless line: nothing in it can move the cursor or fill the screen."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[: longest + 1])
    return text if len(text) <= longest else text[:longest] + "…"
