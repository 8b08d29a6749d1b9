"""The audit: a line for each match that was told, in a file that is only added to.

A line is a JSON object: ``time``, ``request``, ``key`` (its number), ``index``, ``item`` (its place in the batch), ``kind`` (``digest``,
``fingerprint``, ``film`` or ``picture``), ``list``, ``entry``, ``category``, ``method``, ``distance``, ``contradicted``; and ``asked``, the
strongest digest or the fingerprint that was asked for, where the operator wants it kept. Of a picture nothing else is ever kept. The
lines of a request are written before it is answered, whole or not at all; where they cannot be, it is not answered.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from amparo.errors import UsedWrongly
from amparo.known.hits import Hit
from amparo.known.service.asking import Asked
from amparo.known.service.refused import Refused


class Audit:
    """One process's hold on the file. A file that was moved away (log rotation) is begun anew. Raises UsedWrongly."""

    def __init__(self, path: Path, keep_asked: bool = False) -> None:
        self._path, self._keep_asked = path, keep_asked
        self._file = -1
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise UsedWrongly(f"The audit cannot be written to {path}: {error.strerror}.") from None

    def write(
        self, time: str, request: str, key: str, index: str, kind: str | None, asked: Sequence[Asked], hits: Sequence[list[Hit]]
    ) -> None:  # fmt: skip
        """A line for each hit. Raises Refused where they cannot be written."""
        said = {"time": time, "request": request, "key": key, "index": index}
        lines = list(self._lines(said, kind, asked, hits))
        if not lines:
            return
        content = "".join(lines).encode()
        try:
            if self._moved():
                self._open()
            self._add(content)
        except OSError:
            raise Refused(
                503, "no_audit", "The audit cannot be written, so nothing is answered: tell the operator."
            ) from None

    def _lines(
        self, said: dict[str, Any], kind: str | None, asked: Sequence[Asked], hits: Sequence[list[Hit]]
    ) -> Iterator[str]:
        for number, (item, found) in enumerate(zip(asked, hits, strict=True)):
            for hit in found:
                line = {
                    **said, "item": number, "kind": kind or item.kind, "list": hit.list, "entry": hit.entry,
                    "category": hit.category, "method": hit.method, "distance": hit.distance,
                }  # fmt: skip
                if hit.contradicted:
                    line["contradicted"] = True
                if self._keep_asked and (what := _asked_for(item)):
                    line["asked"] = what
                yield json.dumps(line, ensure_ascii=False) + "\n"

    def _add(self, content: bytes) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            before = os.fstat(self._file).st_size
            if os.write(self._file, content) != len(content):  # the disk is full
                os.ftruncate(self._file, before)
                raise OSError
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _open(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def _moved(self) -> bool:
        try:
            there, ours = self._path.stat(), os.fstat(self._file)
        except OSError:
            return True
        return (there.st_ino, there.st_dev) != (ours.st_ino, ours.st_dev)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _asked_for(item: Asked) -> str | None:
    for kind in ("sha256", "sha1", "md5"):
        if kind in item.digests:
            return f"{kind}:{item.digests[kind].hex()}"
    return f"pdq:{item.prints[0].hex()}" if len(item.prints) == 1 else None
