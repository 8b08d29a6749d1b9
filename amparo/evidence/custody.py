"""The chain of custody: a ledger with one line an act, each line carrying the digest of the line before it.

A line is JSON in one spelling only (keys in order, no spaces, UTF-8), so that a line has one digest and a change of any
byte is a change of the act. The digest is that of the line with its end, as ``sed -n 3p custody.jsonl | sha256sum``
prints it. The chain alone shows an act that was edited, dropped, swapped or renumbered. Cutting the tail, or writing the
whole anew, shows only against the seal, which states the number of acts and the digest of the last one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from amparo.clock import iso
from amparo.errors import PackageWrong

LONGEST_LINE = 1 << 20  # bytes; an act is a sentence with a few numbers, or with an earlier seal
NOTHING_BEFORE = "0" * 64
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_FIELDS = {"number": int, "at": str, "by": str, "act": str, "details": dict, "previous": str}


class Act(NamedTuple):
    """One act: its number from 1, when (ISO 8601, UTC), who, what, the rest, and the digest of the line before."""

    number: int
    at: str
    by: str
    act: str
    details: dict[str, Any]
    previous: str

    @property
    def order(self) -> dict[str, Any]:
        """The order that the first act of a package states; empty where this act states none."""
        order = self.details.get("order")
        return order if isinstance(order, dict) else {}


class LedgerBroken(PackageWrong):
    """``number`` is the first line, from 1, that does not follow its predecessor; the message says why."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"custody.jsonl: line {number} {why}")
        self.number = number


def is_time(text: str) -> bool:
    """Whether this is a time as acts and seals state it: ISO 8601, UTC, with ``Z``."""
    return _TIME.fullmatch(text) is not None


def canonical(value: Any) -> bytes:
    """``value`` as JSON in its one spelling. What no UTF-8 text can hold (half a surrogate pair) becomes ``?``."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a ledger with their ends. A line longer than any act comes cut, and so breaks the chain."""
    while line := file.readline(LONGEST_LINE + 1):
        yield line


def follow(lines: Iterable[bytes | str]) -> Iterator[Act]:
    """The acts, in order, for as long as each follows its predecessor. Raises LedgerBroken at the first that does not.
    Lines may come with or without their ends."""
    previous = NOTHING_BEFORE
    for number, line in enumerate(lines, 1):
        raw = line.encode("utf-8", "replace") if isinstance(line, str) else line
        act = _parse(number, raw.removesuffix(b"\n"))
        if act.number != number:
            raise LedgerBroken(number, f"says that it is act {act.number}: an act was taken out, added or moved.")
        if act.previous != previous:
            raise LedgerBroken(number, "does not follow the line before it: one of the two was changed, or was moved.")
        previous = digest_of(raw)
        yield act


def first_break(lines: Iterable[bytes | str]) -> int | None:
    """The number, from 1, of the first line that does not follow its predecessor; None where all do."""
    try:
        for _ in follow(lines):
            pass
    except LedgerBroken as broken:
        return broken.number
    return None


def digest_of(line: bytes) -> str:
    """SHA-256, lower hex, of a line with its end."""
    return hashlib.sha256(line.removesuffix(b"\n") + b"\n").hexdigest()


def _parse(number: int, line: bytes) -> Act:
    if len(line) > LONGEST_LINE:
        raise LedgerBroken(number, "is longer than any act.")
    try:
        value = json.loads(line.decode("utf-8"))
        whole = isinstance(value, dict) and canonical(value) == line
    except (ValueError, RecursionError) as error:
        raise LedgerBroken(number, "is not an act: it was changed.") from error
    if not whole or value.keys() != _FIELDS.keys() or any(type(value[k]) is not t for k, t in _FIELDS.items()):
        raise LedgerBroken(number, "is not written as an act is: it was changed.")
    if not is_time(value["at"]) or not _DIGEST.fullmatch(value["previous"]):
        raise LedgerBroken(number, "is not written as an act is: it was changed.")
    return Act(**value)


class Ledger:
    """The ledger of a package that is being written. ``count`` acts so far; ``head`` is the digest of the last line."""

    def __init__(self, path: Path) -> None:
        """Opens the ledger at ``path``, which may not exist yet. A last line that was cut while it was being written is
        dropped, and ``cut`` says so. Raises LedgerBroken where the lines do not follow one another."""
        self.path, self.count, self.head, self.cut = path, 0, NOTHING_BEFORE, False
        self.first: Act | None = None
        if not path.exists():
            return
        whole = 0
        with path.open("rb") as file:
            for line in read_lines(file):
                whole += len(line) if line.endswith(b"\n") else 0
            self.cut = whole != file.tell()
        if self.cut:  # power was lost between the first and the last byte of an act: that act was never done
            os.truncate(path, whole)
        with path.open("rb") as file:
            for act in follow(self._counted(file)):
                self.first = self.first or act

    def _counted(self, file: BinaryIO) -> Iterator[bytes]:
        for line in read_lines(file):
            yield line
            self.count, self.head = self.count + 1, digest_of(line)

    def next_line(self, act: str, by: str, when: datetime, details: dict[str, Any]) -> bytes:
        """The line that would record this act next, with its end; nothing is written."""
        line = canonical(
            {"number": self.count + 1, "at": iso(when), "by": by, "act": act, "details": details, "previous": self.head}
        )
        _parse(self.count + 1, line)
        return line + b"\n"

    def add(self, act: str, by: str, when: datetime, /, **details: Any) -> None:
        """Record an act, on the disk before this returns. Raises OSError where it cannot be written; then nothing was."""
        line = self.next_line(act, by, when, details)
        with self.path.open("ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                written = file.write(line)
                if written != len(line):
                    raise OSError(28, "No space left on device", str(self.path))
                os.fsync(file.fileno())
            except OSError:
                os.truncate(self.path, size)
                raise
        if self.first is None:
            self.first = next(follow([line]))
        self.count, self.head = self.count + 1, digest_of(line)
