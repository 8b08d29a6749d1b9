"""What every seekable stream over a content shares, for readers of archives: its size, and the place in it."""

from __future__ import annotations

import io


class Seekable(io.RawIOBase):
    """A stream of ``size`` bytes at the place ``at``; who inherits reads from there. A step past either end is no error."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at
