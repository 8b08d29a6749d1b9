"""How much each key has asked for in this minute and on this day, counted together by all processes, and over restarts.

A file beside the keys, mapped: a row for each key with the minute and the day that it was last used in, and how much since each
began. Windows are those of UTC.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from amparo.errors import UsedWrongly
from amparo.known.service.keys import MOST_KEYS, Key
from amparo.known.service.refused import Refused

_ROW: Final = struct.Struct("<16sQQQQ")  # number of the key; minute, asked in it; day, asked in it
_ROWS: Final = 2 * MOST_KEYS
_MINUTE, _DAY = 60, 86_400


class Quotas:
    """The counts. Raises UsedWrongly where their file cannot be made."""

    def __init__(self, path: Path) -> None:
        self._rows: dict[str, int] = {}
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with self._alone():
                if os.fstat(self._file).st_size != _ROWS * _ROW.size:
                    os.ftruncate(self._file, 0)
                    os.ftruncate(self._file, _ROWS * _ROW.size)
            self._counts = mmap.mmap(self._file, _ROWS * _ROW.size)
        except OSError as error:
            raise UsedWrongly(f"What the keys have used cannot be counted in {path}: {error.strerror}.") from None

    def charge(self, key: Key, count: int, now: float) -> None:
        """Count ``count`` look-ups at ``now`` (Unix time). Raises Refused, and counts nothing, where they are more than is left."""
        minute, day = int(now) // _MINUTE, int(now) // _DAY
        with self._alone():
            at = self._row_of(key.id) * _ROW.size
            number, of_minute, in_minute, of_day, in_day = _ROW.unpack_from(self._counts, at)
            in_minute = in_minute if of_minute == minute else 0
            in_day = in_day if of_day == day else 0
            if in_day + count > key.per_day:
                raise _over("day", key.per_day, _DAY - int(now) % _DAY)
            if in_minute + count > key.per_minute:
                raise _over("minute", key.per_minute, _MINUTE - int(now) % _MINUTE)
            _ROW.pack_into(self._counts, at, number, minute, in_minute + count, day, in_day + count)

    def close(self) -> None:
        """Let go of the file."""
        self._counts.close()
        os.close(self._file)

    def _row_of(self, number: str) -> int:
        if number not in self._rows:
            name = number.encode().ljust(16, b"\0")
            taken = {self._counts[at : at + 16]: at // _ROW.size for at in range(0, len(self._counts), _ROW.size)}
            row = taken.get(name)
            if row is None:
                row = taken.get(bytes(16))
                if row is None:  # rows of keys that are long gone: the count begins anew for all
                    self._counts[:] = bytes(len(self._counts))
                    self._rows.clear()
                    row = 0
                _ROW.pack_into(self._counts, row * _ROW.size, name, 0, 0, 0, 0)
            self._rows[number] = row
        row = self._rows[number]
        if self._counts[row * _ROW.size : row * _ROW.size + 16].rstrip(b"\0").decode("ascii", "replace") != number:
            del self._rows[number]  # another process began anew
            return self._row_of(number)
        return row

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _over(what: str, quota: int, left: int) -> Refused:
    if what == "day":
        return Refused(429, "quota_of_day", f"This key may ask {quota:,} times a day: go on after midnight UTC.", left)
    return Refused(429, "quota_of_minute", f"This key may ask {quota:,} times a minute: go on in the next one.", left)
