"""The words of CASE/UCO that every node uses: prefixes, identifiers, times, digests."""

from __future__ import annotations

from typing import Any

from amparo.evidence.exports.finished import Finished

_UCO = "https://ontology.unifiedcyberontology.org/uco"
CONTEXT = {
    **{
        prefix: f"{_UCO}/{prefix}/"
        for prefix in ("action", "analysis", "core", "identity", "marking", "observable", "role", "tool", "types")
    },
    "investigation": "https://ontology.caseontology.org/case/investigation/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}


class Names:
    """The identifier of each node by what it is: ``names["source"]``."""

    def __init__(self, finished: Finished) -> None:
        self._uuid = finished.uuid

    def __getitem__(self, what: str) -> str:
        return f"urn:uuid:{self._uuid(what)}"

    def link(self, what: str) -> dict[str, str]:
        """A reference to the node."""
        return {"@id": self[what]}


def moment(time: str | None) -> dict[str, str] | None:
    """A time of the tables as a dateTime."""
    return {"@type": "xsd:dateTime", "@value": time} if time else None


def digests(names: Names, of: str, known: dict[str, str | None]) -> list[dict[str, Any]]:
    """Digests as UCO has them. The method is a plain text: the literal typed with the vocabulary fails validation."""
    return [
        {
            "@id": names[f"{method} of {of}"],
            "@type": "types:Hash",
            "types:hashMethod": method,
            "types:hashValue": {"@type": "xsd:hexBinary", "@value": value},
        }
        for method, value in known.items()
        if value
    ]


def without_gaps(node: dict[str, Any]) -> dict[str, Any]:
    """The node without what is not known."""
    return {key: value for key, value in node.items() if value not in (None, [])}
