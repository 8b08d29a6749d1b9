"""The file of a list, read once from end to end with its digest taken on the way, in bounded memory."""

from __future__ import annotations

import codecs
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

from amparo.errors import UsedWrongly
from amparo.known.lists.claim import Tally

OPENING = 1 << 16
_PIECE = 1 << 18
_LONGEST_LINE = 1 << 20
_SINGLE_BYTE = {"iso-8859-1", "iso-8859-15", "latin1", "windows-1252"}
_PACKED = {b"PK\x03\x04": "ZIP", b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7z", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


class ListFile:
    """A list on disk. Raises UsedWrongly where it cannot be opened, is empty, or is packed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sha256: str | None = None
        try:
            if path.is_dir():
                raise UsedWrongly(f"{path} is a folder: name the list's file.")
            with path.open("rb") as stream:
                self.opening = stream.read(OPENING)
            self.size = path.stat().st_size
        except (OSError, ValueError) as error:
            raise UsedWrongly(f"The list {path} cannot be read: {_why(error)}.") from None
        if not self.opening:
            raise UsedWrongly(f"The list {path} is empty: ask for it again.")
        for mark, kind in _PACKED.items():
            if self.opening.startswith(mark):
                raise UsedWrongly(f"The list {path} is packed ({kind}): unpack it and name the file inside.")
        self.encoding = _encoding(self.opening)

    def declare(self, encoding: str) -> None:
        """Read the text in the encoding that it says it has, where it can be no other by its bytes and is one of the West's."""
        if self.encoding == "utf-8-sig" and encoding.lower() in _SINGLE_BYTE:
            self.encoding = encoding.lower()

    @property
    def sha256(self) -> str:
        """Lower hex digest of the file as it was last read to its end, else as it is now."""
        if self._sha256 is None:
            for _ in self.pieces():
                pass
        assert self._sha256 is not None  # reading to the end sets it
        return self._sha256

    def first_lines(self) -> list[str]:
        """The lines that begin in the first 64 KiB, without line ends; the last one may be cut."""
        text = self._decoder().decode(self.opening, final=len(self.opening) < OPENING)
        return text.split("\n")

    def pieces(self) -> Iterator[bytes]:
        """The file's bytes, in order."""
        whole = hashlib.sha256()
        try:
            with self.path.open("rb") as stream:
                while piece := stream.read(_PIECE):
                    whole.update(piece)
                    yield piece
        except OSError as error:
            raise UsedWrongly(f"The list {self.path} cannot be read to its end: {_why(error)}.") from None
        self._sha256 = whole.hexdigest()

    def texts(self) -> Iterator[str]:
        """The file's text, in order: its byte-order mark taken away, every line end a ``\\n``, wrong bytes as ``\\xNN``."""
        decoder = self._decoder()
        for piece in self.pieces():
            yield decoder.decode(piece)
        yield decoder.decode(b"", final=True)

    def blocks(self, tally: Tally) -> Iterator[tuple[int, list[str]]]:
        """Runs of whole lines with the number of the first, from 1. A line over 1 MiB is skipped and told to ``tally``."""
        number, rest, overlong = 1, "", False
        for text in self.texts():
            lines = (rest + text).split("\n")
            rest = lines.pop()
            if overlong and lines:
                tally.skip(number, "the line is longer than any entry can be")
                del lines[0]
                number += 1
                overlong = False
            if lines:
                yield number, lines
                number += len(lines)
            if overlong or len(rest) > _LONGEST_LINE:
                rest, overlong = "", True
        if overlong:
            tally.skip(number, "the line is longer than any entry can be")
        elif rest:
            yield number, [rest]

    def lines(self, tally: Tally) -> Iterator[tuple[int, str]]:
        """Every line with its number, from 1."""
        for number, lines in self.blocks(tally):
            yield from enumerate(lines, number)

    def _decoder(self) -> io.IncrementalNewlineDecoder:
        return io.IncrementalNewlineDecoder(
            codecs.getincrementaldecoder(self.encoding)("backslashreplace"), translate=True
        )


def _encoding(opening: bytes) -> str:
    if opening.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if opening[1:2] == b"\x00" and opening[3:4] == b"\x00":
        return "utf-16-le"
    return "utf-8-sig"


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
