"""Records of StopNCII.org: ``ImagePDQ``, and ``VideoMD5`` for what is known to be a film.

An entry with both gives two records. The file is one whole answer of the interface: no page follows it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TextIO

from amparo.known.lists.entry import Entry
from amparo.known.lists.stopncii import RECORDS
from amparo.known.lists.writers.omissions import NO_DIGEST, Omissions, flags_of, is_film

#: Members of a record, beside its type and value.
MEMBERS = ("lastModtimestamp", "hashStatus", "caseNumbers", "CSPFeedbacks", "hashRegions")


def write(entries: Iterable[Entry], out: TextIO, omissions: Omissions) -> int:
    out.write(f'{{"hasMoreRecords": false, "{RECORDS}": [')
    count = records = latest = 0
    for entry in entries:
        flags = flags_of(entry)
        of_film = is_film(entry, flags) is True
        if entry.pdq is None and not (of_film and entry.md5 is not None):
            omissions.note(NO_DIGEST)
            continue
        omissions.parts(entry, "pdq", *(["md5"] if of_film else []))
        omissions.flags(name for name in flags if name not in MEMBERS and name != "signalType")
        said = {name: flags[name] for name in MEMBERS if name in flags}
        for kind, value in (("ImagePDQ", entry.pdq), ("VideoMD5", entry.md5 if of_film else None)):
            if value is not None:
                record = {**said, "signalType": kind, "hashValue": value.hex()}
                out.write((",\n" if records else "\n") + json.dumps(record, ensure_ascii=False))
                records += 1
        moment = said.get("lastModtimestamp")
        latest = max(latest, moment) if isinstance(moment, int) else latest
        count += 1
    out.write(f'\n], "count": {records}, "nextPageToken": null, "nextSetTimestamp": {latest}}}\n')
    return count
