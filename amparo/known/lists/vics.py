"""Hash sets in VICS JSON 1.3 and 2.0 (Project VIC), streamed: memory does not grow with the list.

The root names the model (``odata.metadata`` or ``@odata.context``, ending in ``#Media``; 2.0 names a country or ``Default``)
and holds ``value``, the entries: ``MediaID`` (the entry), ``Category`` (a whole number), ``MD5``, ``SHA1``, and SHA-256 and
PDQ among ``AlternativeHashes``. Every other member (``IsDistributed``, ``VictimIdentified``, ``OffenderIdentified``,
``Series``, ``Tags``, ``Exifs`` …) is kept among the flags under its own name, as are the hashes that are not compared here;
PhotoDNA values are text that is never looked into. An entry that is not sound JSON is skipped, and reading goes on at the
next one. This reads and writes the layout that open tools use; no certification is claimed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from amparo.errors import UsedWrongly
from amparo.known.lists.claim import Claim, Tally
from amparo.known.lists.scroll import Broken, Scroll, enter, entries, plain
from amparo.known.lists.source import ListFile

#: Members that have a place of their own in a claim.
OWN = frozenset({"MediaID", "Category", "MD5", "SHA1", "AlternativeHashes"})

_MODEL = re.compile(r"DataModels/(\d+\.\d+)\.xml(?:/(\w{1,20}))?")
_COUNTRIES = {"us": "VICS US", "uk": "VICS UK", "ca": "VICS Canada", "canada": "VICS Canada"}
_INNER = {"PropertyName", "SegmentIndex", "FileName", "HashName"}  # what only the objects inside an entry have
_CASED = {name.lower(): name for name in (*OWN, "Media")}
_HASHES = {"MD5": "MD5", "SHA1": "SHA1", "SHA256": "SHA256", "PDQ": "PDQ"}


class Vics:
    """Reads a hash set."""

    good = False

    def __init__(self, version: str | None, country: str | None = None) -> None:
        self.format = f"VICS {version}" if version else "VICS"
        self.scheme = _COUNTRIES.get((country or "").lower(), "VICS")

    def claims(self, source: ListFile, tally: Tally) -> Iterator[Claim]:
        tally.unit = "entry"
        scroll = Scroll(source.texts())
        try:
            found, _ = enter(scroll, "value")
        except Broken as why:
            raise UsedWrongly(f"The list {source.path} cannot be read before its first entry: {why}.") from None
        if not found:
            raise UsedWrongly(f'The list {source.path} has no "value" with the entries: is it a VICS hash set?')
        for number, entry in entries(scroll, source, tally, "MediaID"):
            if isinstance(entry, dict):
                claim = _claim(number, entry, tally, source)
                if claim:
                    yield claim
            else:
                tally.skip(number, "it is not an object")
        for _text in scroll.texts:  # to the end, for the file's digest
            pass


def recognise(lines: list[str]) -> Vics | None:
    """A reader, where the file begins as JSON."""
    text = "\n".join(lines).lstrip()
    if not text.startswith(("{", "[")):
        return None
    model = _MODEL.search(text)
    return Vics(model[1], model[2]) if model else Vics(None)


def _claim(number: int, entry: dict[str, Any], tally: Tally, source: ListFile) -> Claim | None:
    if "MD5" not in entry and "SHA1" not in entry:
        entry = {_CASED.get(key.lower(), key): value for key, value in entry.items()}
    if _INNER & entry.keys():
        return None  # the rest of an entry that broke off
    if isinstance(entry.get("Media"), list):
        raise UsedWrongly(f"{source.path} is a VICS case, not a hash set: export its hash set, or name another list.")
    found = {"MD5": entry.get("MD5"), "SHA1": entry.get("SHA1")}
    others = _others(number, entry.get("AlternativeHashes"), found, tally)
    if any(value is not None and not isinstance(value, str) for value in found.values()):
        tally.skip(number, "a digest is not text")
        return None
    flags = {name: value for name, value in entry.items() if name not in OWN}
    flags["AlternativeHashes"] = others
    return tally.claim(
        number, found["MD5"], found["SHA1"], found.get("SHA256"), plain(entry.get("Category")), plain(entry.get("MediaID")),
        pdq=found.get("PDQ"), flags=flags,
    )  # fmt: skip


def _others(number: int, given: Any, found: dict[str, Any], tally: Tally) -> Any:
    """Of ``AlternativeHashes``, those that are not compared; the others go to ``found``, where their kind is not there yet."""
    if not isinstance(given, list):
        return given
    kept = []
    for other in given:
        if isinstance(other, dict) and isinstance(value := other.get("HashValue"), str):
            name = str(other.get("HashName")).upper().replace("-", "").replace("_", "")
            kind = _HASHES.get(name)
            if kind is not None and found.get(kind) in (None, ""):
                found[kind] = value
                continue
            if kind is not None and found[kind] != value and str(found[kind]).lower() != value.lower():
                tally.remark(number, f"it has two different values for {kind}: the first counts")
            elif kind is not None:
                continue
        kept.append(other)
    return kept
