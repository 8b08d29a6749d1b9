"""Records of StopNCII.org's interface, as JSON: ``hashRecords``, each with ``signalType`` and ``hashValue``.

``ImagePDQ`` is a picture's fingerprint, ``VideoMD5`` the MD5 of a film; other types (``VideoTMK``, ``Text``, ``URL``) are not
compared here and are skipped, told. A record whose ``hashStatus`` is ``Withdrawn`` or ``Deleted`` was taken back and is given
as withdrawn, not as an entry. The rest (``hashStatus``, ``caseNumbers``, ``CSPFeedbacks``, ``lastModtimestamp`` …) is kept
among the flags. Records have no category: the whole list is of intimate images shared without consent.
Source: python-threatexchange 1.2.17, ``exchanges/clients/stopncii/api.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from amparo.errors import UsedWrongly
from amparo.known.lists.claim import Claim, Tally, Unfit, digest
from amparo.known.lists.scroll import Broken, Scroll, enter, entries
from amparo.known.lists.source import ListFile

RECORDS = "hashRecords"
_WITHDRAWN = {"withdrawn", "deleted"}
_NEXT_PAGE = re.compile(rf'"{RECORDS}"\s{{0,40}}:\s{{0,40}}\[')


class StopNcii:
    """Reads records, of one answer of the interface or of several put one after another."""

    format, scheme, good = "StopNCII JSON", "StopNCII", False

    def claims(self, source: ListFile, tally: Tally) -> Iterator[Claim]:
        tally.unit = "entry"
        scroll = Scroll(source.texts())
        try:
            found, root = enter(scroll, RECORDS)
        except Broken as why:
            raise UsedWrongly(f"The list {source.path} cannot be read before its first entry: {why}.") from None
        if not found:
            raise UsedWrongly(f'The list {source.path} has no "hashRecords" with the entries: is it of StopNCII?')
        if root.get("hasMoreRecords") is True:
            tally.say("the list says that more of it follows: ask for the rest")
        last = 0
        while True:
            for number, record in entries(scroll, source, tally, "lastModtimestamp", last):
                last = number
                if isinstance(record, dict):
                    claim = _claim(number, record, tally)
                    if claim:
                        yield claim
                else:
                    tally.skip(number, "it is not an object")
            page = scroll.find(_NEXT_PAGE)
            if page is None:
                return
            scroll.at = page.end()


def recognise(lines: list[str]) -> StopNcii | None:
    """A reader, where the file begins as JSON and names StopNCII's records."""
    text = "\n".join(lines).lstrip()
    if text.startswith("{") and f'"{RECORDS}"' in text:
        return StopNcii()
    return StopNcii() if text.startswith("[") and '"signalType"' in text and '"hashValue"' in text else None


def _claim(number: int, record: dict[str, Any], tally: Tally) -> Claim | None:
    kind, value = record.get("signalType"), record.get("hashValue")
    if not isinstance(value, str) or not isinstance(kind, str):
        tally.skip(number, "there is no digest")
        return None
    if kind not in ("ImagePDQ", "VideoMD5"):
        tally.skip(number, f"its kind, {kind[:40]}, is not compared here")
        return None
    pdq, md5 = (value, None) if kind == "ImagePDQ" else (None, value)
    flags = {name: said for name, said in record.items() if name != "hashValue"}
    if str(record.get("hashStatus")).lower() in _WITHDRAWN:
        try:
            withdrawn = digest("md5", md5), None, None, digest("pdq", pdq), None, None, None, tally.flags(number, flags)
        except Unfit as why:
            tally.skip(number, str(why))
            return None
        tally.withdraw(number, withdrawn)
        return None
    return tally.claim(number, md5, None, None, pdq=pdq, flags=flags)
