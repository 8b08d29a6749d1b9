"""VICS hash sets, 1.3 and 2.0: digests in upper hex, SHA-256 and PDQ among ``AlternativeHashes``; no certification is claimed.

Flags are members where their names are those of such members (``IsDistributed``, ``Series``: letters and digits, the first a
capital). A category is a whole number there; another one has no place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, TextIO

from amparo.known.lists.entry import Entry
from amparo.known.lists.vics import OWN
from amparo.known.lists.writers.omissions import PARTS, Omissions, flags_of

MODELS = {
    "1.3": ("odata.metadata", "http://github.com/ICMEC/ProjectVic/DataModels/1.3.xml#Media"),
    "2.0": ("@odata.context", "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/Default/$metadata#Media"),
}
_MEMBER = re.compile(r"[A-Z][A-Za-z0-9]{0,99}")
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,15}")
_TAKEN = {name.lower() for name in (*OWN, "Media", "PropertyName", "SegmentIndex", "FileName", "HashName")}


def write_13(entries: Iterable[Entry], out: TextIO, omissions: Omissions) -> int:
    return _write(entries, out, omissions, "1.3")


def write_20(entries: Iterable[Entry], out: TextIO, omissions: Omissions) -> int:
    return _write(entries, out, omissions, "2.0")


def _write(entries: Iterable[Entry], out: TextIO, omissions: Omissions, version: str) -> int:
    key, model = MODELS[version]
    out.write(f'{{"{key}": {json.dumps(model)}, "value": [')
    count = 0
    for entry in entries:
        media = _media(entry, omissions)
        if media is not None:
            out.write((",\n" if count else "\n") + json.dumps(media, ensure_ascii=False))
            count += 1
    out.write("\n]}\n")
    return count


def _media(entry: Entry, omissions: Omissions) -> dict[str, Any] | None:
    if not omissions.parts(entry, "md5", "sha1", "sha256", "pdq", "category", "entry"):
        return None
    flags = flags_of(entry)
    others = flags.pop("AlternativeHashes", None)
    category = entry.category
    if category is not None and not _WHOLE.fullmatch(category):
        omissions.note(PARTS["category"])
        category = None
    hashes: list[Any] = [
        {"HashName": name, "HashValue": value.hex().upper()}
        for name, value in (("SHA256", entry.sha256), ("PDQ", entry.pdq))
        if value is not None
    ]
    if isinstance(others, list):
        hashes += others
    elif others is not None:
        omissions.flags(["AlternativeHashes"])
    held = {name: value for name, value in flags.items() if _MEMBER.fullmatch(name) and name.lower() not in _TAKEN}
    omissions.flags(name for name in flags if name not in held)
    return {
        "MediaID": int(entry.entry) if entry.entry is not None and _WHOLE.fullmatch(entry.entry) else entry.entry,
        "Category": int(category) if category is not None else None,
        "MD5": entry.md5.hex().upper() if entry.md5 else None,
        "SHA1": entry.sha1.hex().upper() if entry.sha1 else None,
        **held,
        "AlternativeHashes": hashes,
    }
