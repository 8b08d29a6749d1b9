"""Lists of one digest a line: bare, as md5sum, sha1sum and sha256sum write them, or in BSD style.

A bare digest is told by its length: 32 hex characters MD5, 40 SHA-1, 64 SHA-256; or by a prefix, ``sha256:``. A PDQ fingerprint
also has 64 characters and needs its prefix: ``pdq:``, or ``pdq`` and a space as python-threatexchange's files of signals have
(``video_md5``, ``video_sha256`` likewise); bare, it would be taken for SHA-256. Names are kept as the entry's identifier. A
leading ``\\`` says that line ends and ``\\`` in the name are escaped. ``#`` begins a comment. Source: GNU coreutils manual,
"md5sum invocation"; ``md5(1)`` of the BSDs; python-threatexchange 1.2.17, ``exchanges/impl/file_api.py``.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from amparo.known.lists.claim import EMPTY, KINDS, WIDTHS, Claim, Tally
from amparo.known.lists.source import ListFile

_LINE = re.compile(
    r"(?P<escaped>\\)?(?:(?P<kind>md5|sha-?1|sha-?256|pdq):|(?P<signal>pdq|video_md5|video_sha256) )?(?P<hex>[0-9a-f]+)"
    r"(?:(?: [ *]|[ \t]+\*?)(?P<name>\S.*)?)?[ \t]*",
    re.IGNORECASE,
)
_BSD = re.compile(
    r"(?P<escaped>\\)?(?P<kind>md5|sha-?1|sha(?:2-)?-?256) ?\((?P<name>.*)\) ?= ?(?P<hex>[0-9a-f]+)\s*", re.IGNORECASE
)
_KIND_OF_LENGTH = {2 * width: kind for kind, width in WIDTHS.items()}
_MARKS = (("sha256", "256"), ("sha1", "1"), ("md5", "md5"), ("pdq", "pdq"))
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
_SAMPLE = 100


class DigestLines:
    """Reads one digest a line."""

    format, good = "digests", False
    scheme: str | None = None

    def claims(self, source: ListFile, tally: Tally) -> Iterator[Claim]:
        for first, lines in source.blocks(tally):
            bare = _all_bare(first, lines, tally)
            if bare is not None:
                yield from bare
                continue
            for number, line in enumerate(lines, first):
                claim = _claim(number, line, tally)
                if claim:
                    yield claim


def is_digest_line(line: str) -> bool:
    """Whether the line would be read as a digest, with or without a name."""
    return _parts(line.strip(" \t")) is not None


def recognise(lines: list[str]) -> DigestLines | None:
    """A reader, where one of the first lines in three is a digest line; broken lines may come before it."""
    sample = [line for line in lines[:_SAMPLE] if line.strip() and not _is_comment(line)]
    fitting = sum(map(is_digest_line, sample))
    return DigestLines() if fitting and fitting * 3 >= len(sample) else None


def _is_comment(line: str) -> bool:
    return line.startswith("#")


def _all_bare(first: int, lines: list[str], tally: Tally) -> list[Claim] | None:
    """The claims of lines that are all bare digests of one kind, decoded in one go; None where one is not."""
    kind = _KIND_OF_LENGTH.get(len(lines[0]))
    if kind is None or set(map(len, lines)) != {len(lines[0])}:
        return None
    try:
        data = binascii.unhexlify("".join(lines))
    except ValueError:
        return None
    width = WIDTHS[kind]
    tally.repeats.note_bare(first, data, width)
    place = KINDS.index(kind)
    before: tuple[None, ...] = (None,) * place
    after: tuple[None, ...] = (None,) * (7 - place)
    found: list[Claim] = [
        (*before, data[at : at + width], *after)  # type: ignore[misc]
        for at in range(0, len(data), width)
    ]
    kept = [claim for claim in found if claim[place] != EMPTY[kind]]
    tally.read += len(kept)
    tally.empty += len(found) - len(kept)
    return kept


def _parts(line: str) -> tuple[str, str, str | None] | None:
    """Kind, hex and name of the line, or None where it is no digest line."""
    match = _LINE.fullmatch(line) or _BSD.fullmatch(line)
    if match is None:
        return None
    text, named = match["hex"], (match["kind"] or match.groupdict().get("signal") or "").lower()
    kind = next((kind for kind, mark in _MARKS if mark in named), None) or _KIND_OF_LENGTH.get(len(text))
    if kind is None:
        return None
    name: str | None = match["name"]
    if name and match["escaped"]:
        name = re.sub(r"\\[\\nr]", lambda found: _ESCAPES[found[0]], name)
    return kind, text, name


def _claim(number: int, line: str, tally: Tally) -> Claim | None:
    if not line.strip() or _is_comment(line):
        return None
    parts = _parts(line.strip(" \t"))
    if parts is None:
        tally.skip(number, "there is no MD5, SHA-1, SHA-256 or PDQ at its start")
        return None
    kind, text, name = parts
    given = {kind: text}
    return tally.claim(
        number, given.get("md5"), given.get("sha1"), given.get("sha256"), None, name, pdq=given.get("pdq")
    )
