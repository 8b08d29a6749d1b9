"""Lists exported from Interpol's ICSE database: semicolons, ``MD5;SHA1;PhotoDNA;Image ID;…;Media Type;Baseline``.

The image's identifier becomes the entry; the baseline column the category: "baseline" or "not baseline" where it says
yes or no, else what it says. PhotoDNA values are not read.
"""

from __future__ import annotations

from collections.abc import Iterator

from amparo.known.lists.claim import Claim, Tally
from amparo.known.lists.columns import Columns, Header
from amparo.known.lists.source import ListFile

_SAID = {
    **dict.fromkeys(("true", "yes", "y", "1"), "baseline"),
    **dict.fromkeys(("false", "no", "n", "0"), "not baseline"),
}


class Icse(Columns):
    """Reads an ICSE export."""

    format = "ICSE CSV"

    def claims(self, source: ListFile, tally: Tally) -> Iterator[Claim]:
        for *digests, category, entry, flags in self.by_name(source, tally, "baseline", "imageid"):
            yield *digests, _SAID.get(category.lower(), category) if category else None, entry, flags  # type: ignore[misc]


def recognise(header: Header) -> Icse | None:
    """A reader, where the header names ICSE's own columns."""
    return Icse(header) if "imageid" in header.names and "baseline" in header.names else None
