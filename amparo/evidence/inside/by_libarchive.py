"""7z, RAR 4 and 5, CAB, LHA, ISO 9660, cpio, ar, RPM, and contents packed alone by zstd, lz4, lzip or compress(1):
read through libarchive (BSD licence), one member after another, each in pieces.

What must be unpacked only to get past it is unpacked here, piece by piece, and counted: libarchive's own step over a member of a
solid archive would not come back before the whole of it was unpacked. libarchive is C that reads hostile bytes, so it runs in a
worker that may die and costs one file. Its readers of xar and WARC are not used: up to 3.6
at least they give later members a wrong beginning.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from amparo.errors import ReadFailed
from amparo.evidence.inside.bounds import (
    PIECE,
    Budget,
    Content,
    Damaged,
    Member,
    Reader,
    Tell,
    View,
    name_of,
    once,
    printable,
    time_of,
)

_STEP: Final = 1 << 17
_OK, _EOF, _WARN, _FAILED, _FATAL = 0, 1, -20, -25, -30
_FILE_KIND: Final = 0o170000
_REGULAR: Final = 0o100000
_MOST_BAD: Final = 1_000
ENCRYPTED = "It is encrypted, so its content was not read."


class _Family(NamedTuple):
    """How libarchive is to be set up. ``steps`` says that members can be stepped over without unpacking them."""

    formats: tuple[str, ...]
    filters: tuple[str, ...] = ()
    steps: bool = True


@functools.cache
def _library() -> Any:
    """libarchive's functions, loaded where first needed: finding the library takes a while."""
    logging.getLogger("libarchive").addHandler(logging.NullHandler())
    logging.getLogger("libarchive").propagate = False  # warnings about hostile bytes are findings, not messages of ours
    from libarchive import ffi

    c = ffi.libarchive
    for name, arguments, result in (
        ("entry_is_data_encrypted", [ctypes.c_void_p], ctypes.c_int),
        ("entry_pathname_utf8", [ctypes.c_void_p], ctypes.c_char_p),
        ("read_next_header2", [ctypes.c_void_p, ctypes.c_void_p], ctypes.c_int),
        ("read_data", [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t], ctypes.c_ssize_t),
    ):
        # A prototype of our own on the same symbol: the binding's raise where a code is wanted.
        prototype = ctypes.CFUNCTYPE(result, *arguments)
        setattr(_Raw, name, staticmethod(prototype((f"archive_{name}", c))))
    return ffi


class _Raw:
    entry_is_data_encrypted: Callable[[Any], int]
    entry_pathname_utf8: Callable[[Any], bytes | None]
    read_next_header2: Callable[[Any, Any], int]
    read_data: Callable[[Any, Any, int], int]


class _Handle:
    """One reading of an archive from its beginning."""

    def __init__(self, view: View, family: _Family) -> None:
        self._ffi = _library()
        self._view = view.part(0, view.size)
        self._buffer = ctypes.create_string_buffer(_STEP)
        self._out = ctypes.create_string_buffer(PIECE)
        self._failure: BaseException | None = None
        self._callbacks = (self._ffi.READ_CALLBACK(self._read), self._ffi.SEEK_CALLBACK(self._seek))
        self._entry = self._ffi.entry_new()
        self._archive = self._ffi.read_new()
        self.bad = 0
        try:
            for name in family.formats:
                self._ffi.get_read_format_function(name)(self._archive)
            for name in family.filters:
                self._ffi.get_read_filter_function(name)(self._archive)
            self._ffi.read_set_seek_callback(self._archive, self._callbacks[1])
            self._ffi.read_open(self._archive, None, self._ffi.NO_OPEN_CB, self._callbacks[0], self._ffi.NO_CLOSE_CB)
        except Exception as error:
            self.close()
            if self._failure is not None:
                raise self._failure from None
            raise Damaged(_why(str(error))) from None

    def close(self) -> None:
        if self._archive is not None:
            with contextlib.suppress(Exception):
                self._ffi.read_free(self._archive)
            self._ffi.entry_free(self._entry)
            self._archive = None

    def _read(self, archive: int, data: int, place: Any) -> int:
        try:
            piece = self._view.read(_STEP)
            ctypes.memmove(self._buffer, piece, len(piece))
            place[0] = ctypes.cast(self._buffer, ctypes.c_void_p)
            return len(piece)
        except BaseException as error:  # nothing may be raised through C
            self._failure = error
            return -1

    def _seek(self, archive: int, data: int, offset: int, whence: int) -> int:
        try:
            return self._view.seek(offset, whence)
        except BaseException as error:  # nothing may be raised through C
            self._failure = error
            return _FATAL

    def _message(self) -> str:
        raw = self._ffi.error_string(self._archive)
        return raw.decode("ascii", "backslashreplace") if raw else ""

    def _check(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def next(self) -> bool:
        """Go to the next header; False at the end. Raises Damaged where the archive can be followed no further."""
        while True:
            code = _Raw.read_next_header2(self._archive, self._entry)
            self._check()
            if code in (_OK, _WARN):
                return True
            if code == _EOF:
                return False
            self.bad += 1
            if code <= _FATAL or self.bad > _MOST_BAD:
                raise Damaged(_why(self._message()))

    def pieces(self) -> Iterator[bytes]:
        """The rest of the member whose header came last. Raises ReadFailed, at the end where only a checksum is wrong."""
        warning = ""
        while True:
            told = _Raw.read_data(self._archive, self._out, PIECE)
            self._check()
            if told == 0:
                break
            if told == _WARN and not warning:
                warning = self._message() or "a warning"  # the bytes are there still, and come next
                continue
            if told < 0:
                raise ReadFailed(_why(self._message()))
            yield ctypes.string_at(self._out, told)
        if warning:
            raise Damaged(_why(warning))

    def member(self, otherwise: str) -> Member | None:
        """The member whose header came last; None where it is no regular file."""
        ffi, entry = self._ffi, self._entry
        if ffi.entry_filetype(entry) & _FILE_KIND != _REGULAR or ffi.entry_hardlink(entry):
            return None
        size = ffi.entry_size(entry) if ffi.entry_size_is_set(entry) else None
        modified = None
        if ffi.entry_mtime_is_set(entry):
            modified = time_of(ffi.entry_mtime(entry))
        problem = ENCRYPTED if _Raw.entry_is_data_encrypted(entry) else None
        return Member(self._name() or otherwise, size, modified, problem)

    def _name(self) -> str:
        raw = _Raw.entry_pathname_utf8(self._entry)
        if raw is None:
            raw = self._ffi.entry_pathname(self._entry)
        if raw is not None:
            return name_of(raw)
        try:
            return printable(self._ffi.entry_pathname_w(self._entry) or "")
        except ValueError:  # a letter that is none
            return ""


def _why(message: str) -> str:
    """libarchive's own words as a sentence; the commonest said as the other readers say them."""
    lower = message.lower()
    if "encrypt" in lower or "passphrase" in lower:
        return "It is encrypted, so what is inside could not be read."
    if "nsupported" in lower or "not supported" in lower:
        return f"It is packed in a way that is not read here ({printable(message)})."
    return f"It is damaged ({printable(message)})." if message else "It is damaged."


def reader(*formats: str, filters: tuple[str, ...] = (), steps: bool = True) -> Reader:
    """A reader of these formats of libarchive. Members are numbered by header from 0."""
    family = _Family(formats, filters, steps)

    def members(view: View, path: str, budget: Budget, tell: Tell) -> Iterator[Content]:
        otherwise = _otherwise(path) if "raw" in formats else ""
        handle = _Handle(view, family)
        number = -1
        try:
            while handle.next():
                number += 1
                member = handle.member(otherwise)
                if otherwise and member is None:
                    member = Member(otherwise, None, None, None)
                if member is None:
                    continue
                if otherwise:
                    member = member._replace(path=otherwise, size=None, modified=None)
                if member.problem:
                    yield Content(number, member, once(member.problem))
                else:
                    yield Content(number, member, _Opener(handle, view, family, number, budget))
                    if not steps:
                        _pass(handle, budget)
            if handle.bad:
                tell(f"{handle.bad} of its headers are damaged.")
        finally:
            handle.close()

    return members


def _pass(handle: _Handle, budget: Budget) -> None:
    """Unpack the rest of a member, and let it go. Raises BoundReached."""
    pieces = handle.pieces()
    while True:
        try:
            piece = next(pieces, None)
        except ReadFailed:
            return
        if piece is None:
            return
        budget.toil(len(piece))


class _Opener:
    """The ``open`` of one member: the first time from the reading that met it, later from a new one."""

    def __init__(self, handle: _Handle, view: View, family: _Family, number: int, budget: Budget) -> None:
        self._handle: _Handle | None = handle
        self._view, self._family, self._number, self._budget = view, family, number, budget

    def __call__(self) -> Iterator[bytes]:
        if self._handle is not None:
            handle, self._handle = self._handle, None
            return handle.pieces()
        return self._anew()

    def _anew(self) -> Iterator[bytes]:
        handle = _Handle(self._view, self._family)
        try:
            for number in range(self._number + 1):
                if not handle.next():
                    return
                if number < self._number and not self._family.steps:
                    _pass(handle, self._budget)
            yield from handle.pieces()
        finally:
            handle.close()


def _otherwise(path: str) -> str:
    """The name of a content packed alone: the container's without its last ending."""
    last = path.rpartition("/")[2]
    stem, _, ending = last.rpartition(".")
    if not stem:
        return "content"
    return stem + (".tar" if ending.lower() in ("tzst", "taz", "tlz") else "")
