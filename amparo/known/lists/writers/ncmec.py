"""Answers of NCMEC's hash sharing interface, as XML.

Pictures stand before films there, each part with its count at its head: what is written waits in a temporary file, in memory
only where it is small. What nothing says to be a film is written as a picture. A member is written where the list names one;
``maxTimestamp`` is the latest that is named, and that of 1970 where none is, which asks a program to fetch everything.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable
from typing import IO, Any, TextIO
from xml.sax.saxutils import escape, quoteattr

from amparo.known.lists.entry import Entry
from amparo.known.lists.ncmec import ATTRIBUTE, DIGESTS, NAMESPACE, OWN, TEXT
from amparo.known.lists.writers.omissions import CONTROLS, Omissions, flags_of, is_film

_IN_MEMORY = 1 << 23
_NAME = re.compile(r"[A-Za-z_][\w.-]{0,99}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_NO_TIME = "1970-01-01T00:00:00Z"
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAKEN = {*OWN, "fingerprints", "image", "video", "deletedimage", "deletedvideo", "next"}


class _Part:
    def __init__(self) -> None:
        self.held: IO[str] = tempfile.SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8", newline="")  # noqa: SIM115
        self.count, self.latest = 0, _NO_TIME


def write(entries: Iterable[Entry], out: TextIO, omissions: Omissions) -> int:
    images, videos = _Part(), _Part()
    with images.held, videos.held:
        for entry in entries:
            if omissions.parts(entry, *DIGESTS, "category", "entry"):
                _put(entry, images, videos, omissions)
        out.write(f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<queryResult xmlns="{NAMESPACE}">\n')
        for name, part in (("images", images), ("videos", videos)):
            if part.count:
                out.write(f'<{name} count="{part.count}" maxTimestamp="{part.latest}">\n')
                part.held.seek(0)
                shutil.copyfileobj(part.held, out)
                out.write(f"</{name}>\n")
        out.write("</queryResult>\n")
    return images.count + videos.count


def _put(entry: Entry, images: _Part, videos: _Part, omissions: Omissions) -> None:
    flags = flags_of(entry)
    of_film = is_film(entry, flags)
    if flags.get("type") in ("image", "video"):
        of_film = flags.pop("type") == "video"
    part, name = (videos, "video") if of_film else (images, "image")
    others = flags.pop("fingerprints", None)
    if others is not None and not isinstance(others, dict):
        omissions.flags(["fingerprints"])
        others = None
    told: set[str] = set()
    attributes = ""
    pieces = [
        _element(own, value, told) for own, value in zip(OWN, (entry.entry, entry.category), strict=True) if value
    ]
    pieces.append("<fingerprints>")
    pieces += [_element(kind, value.hex(), told) for kind in DIGESTS if (value := getattr(entry, kind)) is not None]
    for key, value in (others or {}).items():
        pieces += _members(key, value, told)
    pieces.append("</fingerprints>")
    for key, value in flags.items():
        if key.startswith(ATTRIBUTE) and _NAME.fullmatch(key[1:]) and isinstance(value, str):
            attributes += f" {key[1:]}={quoteattr(_writable(value, told))}"
        elif key.lower() in _TAKEN:
            told.add(key)
        else:
            pieces += _members(key, value, told)
    if CONTROLS in told:
        omissions.note(CONTROLS)
    omissions.flags(sorted(told - {CONTROLS}))
    part.held.write(f"<{name}{attributes}>{''.join(pieces)}</{name}>\n")
    part.count += 1
    moment = flags.get("timestamp")
    if isinstance(moment, str) and _TIME.fullmatch(moment):
        part.latest = max(part.latest, moment)


def _members(name: str, value: Any, told: set[str]) -> list[str]:
    """The elements of a flag: one, or one for each value of a list. What XML cannot hold goes to ``told`` by its name."""
    if not _NAME.fullmatch(name):
        told.add(name)
        return []
    return [_element(name, one, told) for one in (value if isinstance(value, list) else [value])]


def _element(name: str, value: Any, told: set[str]) -> str:
    if isinstance(value, str):
        return f"<{name}>{_escaped(value, told)}</{name}>"
    if not isinstance(value, dict):
        told.add(name)
        return ""
    attributes = "".join(
        f" {key[1:]}={quoteattr(_writable(said, told))}"
        for key, said in value.items()
        if key.startswith(ATTRIBUTE) and _NAME.fullmatch(key[1:]) and isinstance(said, str)
    )
    inside = [_escaped(value[TEXT], told)] if isinstance(value.get(TEXT), str) else []
    for key, said in value.items():
        if key.startswith(ATTRIBUTE) or key == TEXT:
            if not isinstance(said, str):
                told.add(name)
        else:
            inside += _members(key, said, told)
    return f"<{name}{attributes}>{''.join(inside)}</{name}>"


def _escaped(text: str, told: set[str]) -> str:
    return escape(_writable(text, told), {"\r": "&#13;"})


def _writable(text: str, told: set[str]) -> str:
    if _UNWRITABLE.search(text):
        told.add(CONTROLS)
        return _UNWRITABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
    return text
