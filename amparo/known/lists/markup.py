"""XML of any size read element by element, past whatever is broken in it, in bounded memory and without a document type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.parsers import expat  # a document type is refused before anything in it is read

from amparo.errors import UsedWrongly
from amparo.known.lists.claim import Tally
from amparo.known.lists.source import ListFile

_LARGEST = 1 << 22  # characters of one element
_DEEPEST = 32
_PIECE = 1 << 16
_MOST_BROKEN = 1000  # elements, before it matters whether they are more than one in five
_LONGEST_NAME = 100
_SPACE = b" \t\r\n"


class Element:
    """An element: its name without a prefix, its attributes, its text, and the elements inside, in order."""

    __slots__ = ("attributes", "children", "name", "parts")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name, self.attributes = name, attributes
        self.parts: list[str] = []
        self.children: list[Element] = []

    @property
    def text(self) -> str:
        return "".join(self.parts)


class _DocumentType(Exception):
    """A document type begins."""


class _TooMuch(Exception):
    """An element is larger or deeper than any can be, or is not closed; ``at`` is the place in the parser's text."""

    def __init__(self, parser: expat.XMLParserType, why: str) -> None:
        super().__init__(why)
        self.at = parser.CurrentByteIndex


class Markup:
    """Gives the elements of the ``wanted`` names (small letters) with their place, from 1; ``beside`` are given, not counted."""

    def __init__(self, source: ListFile, tally: Tally, wanted: frozenset[str], beside: frozenset[str]) -> None:
        self._source, self._tally, self._names, self._beside = source, tally, wanted | beside, beside
        self._begins = rb"<(?:[\w.-]{1,80}:)?(?:" + "|".join(sorted(wanted)).encode() + rb")[\s/>]"
        self._around: list[str] = []  # the names of the elements around the entries, as they stand there
        self._open: list[Element] = []  # of the element being read
        self._size = self._fed = self._moved = self.number = 0
        self._done: list[Element] = []
        self._ended = False  # the root is closed
        self._seeking: re.Pattern[bytes] | None = None  # where to go on after something broken
        self._tail = b""
        self._resumed = -1  # the place in the parser's text where it went on
        self._parser = self._fresh()

    def elements(self) -> Iterator[tuple[int, Element]]:
        """In order. Raises UsedWrongly for a document type, and where more than a thousand and one in five are broken."""
        broken = 0
        for piece in self._pieces():
            rest = piece
            while True:
                left = self._feed(rest)
                for element in self._done:
                    if element.name.lower() not in self._beside:
                        self.number += 1
                    yield self.number, element
                self._done = []
                if left is None:
                    break
                rest, why = left
                if why is None:  # the root has ended: another answer may follow
                    continue
                self.number += 1
                self._tally.skip(self.number, why)
                broken += 1
                if broken > _MOST_BROKEN and broken * 5 > self.number:
                    raise UsedWrongly(
                        f"The list {self._source.path} is damaged around entry {self.number}: ask for it again."
                    )
        if not self._ended:
            self._tally.skip(self.number + 1, "the file ends before its list does: it was cut short")

    def _pieces(self) -> Iterator[bytes]:
        for text in self._source.texts():
            whole = text.encode("utf-8", "backslashreplace")
            for at in range(0, len(whole), _PIECE):
                yield whole[at : at + _PIECE]

    def _feed(self, piece: bytes) -> tuple[bytes, str | None] | None:
        """Parse the piece; None where it was taken whole, else what of it is still to be parsed, and what was wrong."""
        if self._seeking is not None:
            piece = self._tail + piece
            found = self._seeking.search(piece)
            if not found:
                self._tail = piece[-200:]
                return None
            piece = piece[found.start() :]
            self._parser = self._fresh(self._around)
            self._resumed = self._fed
        elif self._ended and not piece.strip(_SPACE):
            return None
        begin = self._fed
        self._fed += len(piece)
        try:
            self._parser.Parse(piece, False)
        except _DocumentType:
            raise UsedWrongly(
                f"The list {self._source.path} has a document type (DOCTYPE), which no such list needs: ask for it again."
            ) from None
        except _TooMuch as error:  # the parser itself has read on without us
            return self._lost(piece, error.at - begin, str(error), begin)
        except expat.ExpatError as error:
            at = max(0, self._parser.ErrorByteIndex - begin)
            if self._ended:  # what follows the root: another answer
                self._parser, self._ended = self._fresh(), False
                return piece[at:].lstrip(_SPACE), None
            why = expat.ErrorString(error.code)
            return self._lost(
                piece, max(at, self._parser.CurrentByteIndex - begin), f"it is not sound XML ({why})", begin
            )
        if self._fed - self._moved > _LARGEST:
            return self._lost(b"", 0, "it is longer than any entry can be", begin)
        return None

    def _lost(self, piece: bytes, at: int, why: str, begin: int) -> tuple[bytes, str]:
        """Go on where the next element begins at ``at`` or behind it, or where those around it end."""
        stood = max(at, 0)
        if (
            piece[max(0, stood - 2) : stood] == b"</"
        ):  # of a tag that closes nothing, the parser names the place of its name
            stood -= 2
        if stood == 0 and begin == self._resumed:
            stood = 1  # what stands here is broken itself
        pattern = self._begins
        if self._around:
            pattern += rb"|</" + re.escape(self._around[-1].encode()) + rb"\s{0,40}>"
        self._open, self._size, self._resumed = [], 0, -1
        self._seeking, self._tail = re.compile(pattern, re.IGNORECASE), b""
        return piece[stood:], why

    def _fresh(self, around: list[str] | None = None) -> expat.XMLParserType:
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = False
        parser.StartDoctypeDeclHandler = self._document_type
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        self._seeking, self._tail, self._resumed = None, b"", -1
        self._fed = self._moved = 0
        self._around, self._ended = [], False
        if around:
            opening = "".join(f"<{name}>" for name in around).encode()
            parser.Parse(opening, False)
            self._fed = len(opening)
        return parser

    def _document_type(self, *_: object) -> None:
        raise _DocumentType

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._moved = self._fed
        plain = name.rpartition(":")[2]
        if self._open:
            if plain.lower() in self._names:
                raise _TooMuch(self._parser, "it is not closed before the next one begins")
            self._grow(len(name) + sum(len(key) + len(value) for key, value in attributes.items()))
            if len(self._open) >= _DEEPEST:
                raise _TooMuch(self._parser, "it is nested too deeply")
            element = Element(plain, attributes)
            self._open[-1].children.append(element)
            self._open.append(element)
        elif plain.lower() in self._names:
            self._size = 0
            self._open.append(Element(plain, attributes))
        else:
            if len(self._around) >= _DEEPEST or len(name) > _LONGEST_NAME:
                raise _TooMuch(self._parser, "it is nested too deeply")
            self._around.append(name)

    def _end(self, _name: str) -> None:
        self._moved = self._fed
        if self._open:
            element = self._open.pop()
            if not self._open:
                self._done.append(element)
        else:
            self._around.pop()
            self._ended = not self._around

    def _characters(self, text: str) -> None:
        self._moved = self._fed
        if self._open:
            self._grow(len(text))
            self._open[-1].parts.append(text)

    def _grow(self, size: int) -> None:
        self._size += size + 64
        if self._size > _LARGEST:
            raise _TooMuch(self._parser, "it is longer than any entry can be")
