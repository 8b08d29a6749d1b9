"""Lists with one signal a row, as python-threatexchange, ThreatExchange and Hasher-Matcher-Actioner know signals.

Two layouts of CSV are in use: ``signal_type,signal_str,collab,category,tags`` (``threatexchange dataset --print-signals
--csv``) and ``id,indicator,type,status,tags,owner_id`` (``threatexchange api fb_threatexchange query``); any order, and any
further columns, which are kept among the flags. Types are read in either spelling: ``pdq`` and ``HASH_PDQ``, ``video_md5`` and
``HASH_VIDEO_MD5``, ``sha256``, ``vpdq`` …; texts, addresses and other kinds are not compared here and are skipped, told.

``vpdq`` is a JSON list of ``"64 hex,quality,seconds"``: frames of a quality below 50, which say nothing, are left out of the
film and counted in its flags; quality and time of the others are kept there. A category such as ``NEGATIVE_CLASS`` ("generates
false positives") is kept as it is and never makes an entry disappear.
Source: python-threatexchange 1.2.17: ``cli/dataset_cmd.py``, ``cli/api_fb_threatexchange_cmd.py``, ``signal_type/``,
``extensions/vpdq/vpdq_util.py``.
"""

from __future__ import annotations

import binascii
import json
import re
from typing import Any

from amparo.known.lists.claim import PDQ, Claim, Tally
from amparo.known.lists.columns import TYPES, VALUES, Columns, Header, flags_of, names_signals

LOWEST_QUALITY = 50  # a frame below it matches nothing
VPDQ = "vpdq"
_KIND = re.compile(r"(?:hash)?(?:image|photo|video)?(v?pdq|md5|sha1|sha256)")
_ENTRY = ("id", "entry", "indicatorid", "descriptorid", "bankcontentid", "contentid")
_CATEGORY = ("category", "status")
_FRAME = re.compile(r"([0-9a-fA-F]{64}),(\d{1,3}),(\d{1,9}(?:\.\d{1,9})?)")


class Signals(Columns):
    """Reads one signal a row."""

    format, scheme = "ThreatExchange CSV", "ThreatExchange"

    def __init__(self, header: Header) -> None:
        names = header.names
        self.category = next((name for name in _CATEGORY if name in names), "category")
        self.entry = next((name for name in _ENTRY if name in names), "id")
        super().__init__(header)
        self.type_at = next(at for at, name in enumerate(names) if name in TYPES)
        self.value_at = next(at for at, name in enumerate(names) if name in VALUES)
        # The type is kept: it says whether a digest is a film's.
        self.others = tuple((at, title) for at, title in self.others if at != self.value_at)

    def claim_of(self, number: int, row: list[str], tally: Tally) -> Claim | None:
        said = row[self.type_at].strip()
        kind = kind_of(said)
        if kind is None:
            tally.skip(number, f"its kind, {said[:40]}, is not compared here" if said else "there is no digest")
            return None
        flags: dict[str, Any] = {title: row[at] for at, title in self.others if row[at]}
        *_, category_at, entry_at, _, _, flags_at = self.places
        if flags_at is not None and row[flags_at]:
            flags.update(flags_of(row[flags_at]))
        category = row[category_at] if category_at is not None else None
        entry = row[entry_at] if entry_at is not None else None
        value = row[self.value_at]
        if kind == VPDQ:
            film = vpdq_of(number, value, flags, tally)
            if film is None:
                return None
            return tally.claim(number, None, None, None, category, entry, film=film, flags=flags)
        given = {kind: value}
        return tally.claim(
            number, given.get("md5"), given.get("sha1"), given.get("sha256"), category, entry,
            pdq=given.get("pdq"), flags=flags,
        )  # fmt: skip


def recognise(header: Header) -> Signals | None:
    """A reader, where the header names a column of types and one of values."""
    return Signals(header) if names_signals(header.names) else None


def kind_of(signal_type: str) -> str | None:
    """``md5``, ``sha1``, ``sha256``, ``pdq`` or ``vpdq`` for a type in any spelling; None for a type that is not compared."""
    match = _KIND.fullmatch("".join(letter for letter in signal_type.lower() if letter.isalnum()))
    return match[1] if match else None


def vpdq_of(number: int, text: str, flags: dict[str, Any], tally: Tally) -> bytes | None:
    """The film of a vPDQ value, with the quality and time of its frames put into ``flags``; None, told, where there is none."""
    try:
        frames = json.loads(text)
    except (ValueError, RecursionError):
        frames = None
    matches = [_FRAME.fullmatch(frame) if isinstance(frame, str) else None for frame in frames or ()]
    if not isinstance(frames, list) or not all(matches):
        tally.skip(number, "the vPDQ is no list of frames")
        return None
    read = [(match[1], int(match[2]), match[3]) for match in matches if match]
    used = [frame for frame in read if frame[1] >= LOWEST_QUALITY]
    if not used:
        tally.skip(number, "the film has no frame of a quality that says anything")
        return None
    flags[VPDQ] = {
        "quality": _even([str(quality) for _, quality, _ in used]),
        "time": _steady([time for _, _, time in used]),
        **({"left_out": len(read) - len(used)} if len(used) < len(read) else {}),
    }
    return binascii.unhexlify("".join(frame for frame, _, _ in used))


def vpdq_text(film: bytes, said: Any) -> str:
    """The vPDQ value of a film, with the quality and times that the flags say; else of quality 100, one frame a second."""
    count = len(film) // PDQ
    said = said if isinstance(said, dict) else {}
    quality, times = _uneven(said.get("quality"), count), _uneven(said.get("time"), count)
    frames = [
        f"{film[at * PDQ : (at + 1) * PDQ].hex()},{quality[at] if quality else 100},{times[at] if times else f'{at}.000'}"
        for at in range(count)
    ]
    return json.dumps(frames)


def _even(values: list[str]) -> str:
    """Values in one text; a single one where they are all the same."""
    return values[0] if len(set(values)) == 1 else " ".join(values)


def _steady(times: list[str]) -> str:
    """Times in one text; the step alone where every frame comes one step after the other, from 0."""
    if len(times) > 1 and times == [f"{at * float(times[1]):.3f}" for at in range(len(times))]:
        return f"+{times[1]}"
    return " ".join(times)


def _uneven(text: Any, count: int) -> list[str] | None:
    if not isinstance(text, str):
        return None
    if text.startswith("+"):
        try:
            step = float(text)
        except ValueError:
            return None
        return [f"{at * step:.3f}" for at in range(count)]
    values = text.split(" ")
    values = values * count if len(values) == 1 else values
    return values if len(values) == count else None
