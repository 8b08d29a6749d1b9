"""Lists exported from Interpol's ICSE database: semicolons, ``MD5;SHA1;PhotoDNA;Image ID;…;Media Type;Baseline``.

The image's identifier becomes the entry; the baseline column the category: "baseline" or "not baseline" where it says
yes or no, else what it says. Every other column (``Is distributed``, ``Victim identified``, ``Offender identified``,
``Series name``, ``Agency`` …) is kept among the flags under its own name; PhotoDNA values are text that is never looked into.
Source of the columns and their values: sepinf-inc/IPED, issue 1136.
"""

from __future__ import annotations

from amparo.known.lists.claim import Claim, Tally
from amparo.known.lists.columns import Columns, Header

BASELINE, NOT_BASELINE = "baseline", "not baseline"
_SAID = {
    **dict.fromkeys(("true", "yes", "y", "1"), BASELINE),
    **dict.fromkeys(("false", "no", "n", "0"), NOT_BASELINE),
}


class Icse(Columns):
    """Reads an ICSE export."""

    format, scheme = "ICSE CSV", "ICSE"
    category, entry = "baseline", "imageid"

    def claim_of(self, number: int, row: list[str], tally: Tally) -> Claim | None:
        place = self.header.place(self.category)
        if place is not None:
            row[place] = _SAID.get(row[place].strip().lower(), row[place])
        return super().claim_of(number, row, tally)


def recognise(header: Header) -> Icse | None:
    """A reader, where the header names ICSE's own columns."""
    return Icse(header) if "imageid" in header.names and "baseline" in header.names else None
