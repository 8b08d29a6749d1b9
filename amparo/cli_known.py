"""What ``amparo known`` says and does: lists into an index, and what the index knows."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from amparo.errors import UsedWrongly
from amparo.known.hits import Hit
from amparo.known.index import KnownIndex
from amparo.known.library import Library, is_library
from amparo.language import counted, said
from amparo.terminal import tell, visible

_BATCH = 4096  # lines asked together
_LONGEST_LINE = 200


def take(given: argparse.Namespace) -> int:
    """``amparo known import``."""
    library = Library(given.into)
    for change in library.add(given.lists, given.replace):
        if given.json:
            tell(json.dumps({"what": change.what, **change.said}, ensure_ascii=False))
        else:
            tell(visible(said(f"list_{change.what}", list=change.said["list"], format=change.said["format"])))
            _tell_counts(change.said)
    return 0


def remove(given: argparse.Namespace) -> int:
    """``amparo known remove``."""
    change = Library(given.index).remove(given.name)
    if given.json:
        tell(json.dumps({"what": change.what, **change.said}, ensure_ascii=False))
    else:
        tell(visible(said("list_removed", list=change.said["list"], format=change.said["format"])))
    return 0


def stats(given: argparse.Namespace) -> int:
    """``amparo known stats``."""
    index = _opened(given.index)
    if given.check:
        index.verify()
    described = index.described()
    if given.json:
        tell(json.dumps({"entries": len(index), "lists": described}, ensure_ascii=False))
        return 0
    for known in described:
        tell(visible(said("list_in_index", list=known["list"], format=known["format"])))
        _tell_counts(known)
    tell(counted("entries_in_all", len(index)))
    if given.check:
        tell(said("index_holds"))
    return 0


def _tell_counts(known: dict[str, Any]) -> None:
    good = f" ({said('known_good')})" if known["good"] else ""
    tell(f"  {counted('entries', known['entries'])}{good}")
    tell(f"  sha256:{known['sha256']}")
    if known["empty"]:
        tell(f"  {counted('entries_empty', known['empty'])}")
    if known["skipped"]:
        from amparo.translation import here

        tell(f"  {counted('entries_skipped', known['skipped'])}")
        for reason in known["reasons"]:
            tell(f"    {visible(here(reason))}")


def match(given: argparse.Namespace) -> int:
    """``amparo known match``: 0 whether or not anything matched."""
    if bool(given.paths) == (given.hashes is not None):
        raise UsedWrongly("Name files or folders, or give digests with --hashes FILE: one of the two.")
    if given.hashes is None:
        from amparo.cli_bulk import match_stores

        return match_stores(given)
    found = asked = 0
    for query, hits in _asked(_opened(given.index), given.hashes, given.radius):
        asked += 1
        found += bool(hits)
        for hit in hits:
            tell_hit("query", query, hit, given.json)
    if not given.json:
        tell(said("matched_of", found=found, asked=asked), sys.stderr)
    return 0


def row_of(hit: Hit) -> dict[str, Any]:
    """A hit as it is written for programs."""
    row = {
        "list": hit.list,
        "entry": hit.entry,
        "category": hit.category,
        "method": hit.method,
        "distance": hit.distance,
    }
    if hit.good:
        row["good"] = True
    if hit.contradicted:
        row["contradicted"] = True
    if hit.share is not None:
        row["share"], row["share_of_known"] = hit.share
    if hit.flags is not None:
        row["flags"] = json.loads(hit.flags)
    return row


def tell_hit(what: str, name: str, hit: Hit, as_json: bool) -> None:
    """One line on standard output."""
    if as_json:
        tell(json.dumps({what: name, **row_of(hit)}, ensure_ascii=False))
        return
    parts = [name, hit.list, hit.entry or "-", f"{said('category')} {hit.category}" if hit.category else "-"]
    parts.append(f"{hit.method} {hit.distance}" if hit.method in ("pdq", "vpdq") else hit.method)
    tell(visible("  ".join(parts) + (f"  ({said('known_good')})" if hit.good else "")))


def _asked(index: KnownIndex, file: Path, radius: int) -> Iterator[tuple[str, list[Hit]]]:
    """Each line of the file and what the index knows of it. Raises UsedWrongly naming the first line that is neither."""
    with _lines(file) as stream:
        batch: list[tuple[str, str, bytes]] = []
        for number, line in enumerate(stream, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            batch.append((text, *_query(number, text)))
            if len(batch) >= _BATCH:
                yield from _answered(index, batch, radius)
                batch = []
        yield from _answered(index, batch, radius)


def _lines(file: Path) -> TextIO:
    if str(file) == "-":
        return sys.stdin
    try:
        return file.open(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UsedWrongly(f"The file {file} with the digests cannot be read: {error.strerror}.") from None


_KINDS = {32: "md5", 40: "sha1", 64: "pdq"}


def _query(number: int, text: str) -> tuple[str, bytes]:
    """What a line asks for, by its length; 64 characters are a PDQ fingerprint, and a SHA-256 where ``sha256:`` says so."""
    kind, _, digits = text.rpartition(":")
    kind = kind.lower().replace("-", "") or _KINDS.get(len(digits), "")
    width = {"md5": 32, "sha1": 40, "sha256": 64, "pdq": 64}.get(kind)
    try:
        if width != len(digits):
            raise ValueError
        return kind, bytes.fromhex(digits)
    except ValueError:
        raise UsedWrongly(
            f"Line {number} is neither a digest nor a fingerprint: {text[:_LONGEST_LINE]!r}; give 32 (MD5), 40 (SHA-1) or 64 (PDQ)"
            " characters of 0-9 and a-f, and sha256: before a SHA-256."
        ) from None


def _answered(index: KnownIndex, batch: list[tuple[str, str, bytes]], radius: int) -> Iterator[tuple[str, list[Hit]]]:
    alike = iter(index.look_alikes([[value] for _, kind, value in batch if kind == "pdq"], radius))
    for text, kind, value in batch:
        yield text, next(alike) if kind == "pdq" else index.lookup(**{kind: value})


def fingerprint(given: argparse.Namespace) -> int:
    """``amparo known fingerprint``."""
    from amparo.cli_bulk import fingerprint_stores

    return fingerprint_stores(given)


def _opened(path: Path) -> KnownIndex:
    return Library(path).open() if is_library(path) else KnownIndex.build([path])


VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "import": take, "remove": remove, "stats": stats, "match": match, "fingerprint": fingerprint,
}  # fmt: skip
