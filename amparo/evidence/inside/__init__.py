"""What is inside a file: archives, packed files, office documents that are ZIPs, and caches of thumbnails.

Promise: every regular member that can be had is handed over, once, in the container's own order, with the same number every
time; containers inside containers are opened in their turn. What cannot be had (encrypted, damaged, too deep, beyond a bound)
is told in a sentence. Nothing is ever written to disk: an inner container is kept in memory up to a bound, and a larger one is
unpacked again where it is needed, since clear text of evidence has no place on the examiner's disk.

Not promised: passwords are not tried, parts of an archive in several volumes are not put together.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Final

from amparo.errors import AmparoError
from amparo.evidence.content_type import HEAD, mime_of
from amparo.evidence.inside import by_libarchive, rar, single, tar, thumbcache, thumbs, zip
from amparo.evidence.inside.bounds import (
    Again,
    BoundReached,
    Budget,
    Content,
    Damaged,
    Limits,
    Member,
    Reader,
    TooLarge,
    View,
    damaged,
    once,
)

__all__ = ["Limits", "Member", "expand", "is_container"]

Consume = Callable[[tuple[int, ...], Member, Iterator[bytes]], None]

_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
_ZIPS: Final = (
    "application/zip",
    _OFFICE + "wordprocessingml.document",
    _OFFICE + "spreadsheetml.sheet",
    _OFFICE + "presentationml.presentation",
    "application/vnd.ms-word.document.macroEnabled.12",
    "application/vnd.ms-excel.sheet.macroEnabled.12",
    "application/vnd.ms-powerpoint.presentation.macroEnabled.12",
    "application/vnd.ms-visio.drawing",
    "application/epub+zip",
    "application/java-archive",
    "application/vnd.android.package-archive",
    "application/vnd.google-earth.kmz",
    "application/x-xpinstall",
    "application/vnd.comicbook+zip",
)
_library: Final = by_libarchive.reader
_READERS: Final[Mapping[str, Reader]] = {
    **dict.fromkeys(_ZIPS, zip.members),
    "application/x-tar": tar.members,
    "application/gzip": single.gzip,
    "application/x-bzip2": single.bzip2,
    "application/x-xz": single.xz,
    "application/x-lzma": single.xz,
    "application/x-7z-compressed": _library("7zip", steps=False),
    "application/vnd.rar": rar.members,
    "application/vnd.ms-cab-compressed": _library("cab", steps=False),
    "application/x-lzh-compressed": _library("lha"),
    "application/x-iso9660-image": _library("iso9660"),
    "application/x-cpio": _library("cpio"),
    "application/x-archive": _library("ar"),
    "application/vnd.debian.binary-package": _library("ar"),
    "application/x-rpm": _library("cpio", filters=("rpm", "gzip", "bzip2", "xz", "lzma", "zstd"), steps=False),
    "application/zstd": _library("raw", filters=("zstd",), steps=False),
    "application/x-lz4": _library("raw", filters=("lz4",), steps=False),
    "application/lzip": _library("raw", filters=("lzip",), steps=False),
    "application/x-compress": _library("raw", filters=("compress",), steps=False),
    "application/x-thumbs-db": thumbs.members,
    "application/x-thumbcache": thumbcache.members,
}


def _reader(mime: str | None, path: str) -> Reader | None:
    found = _READERS.get(mime or "")
    if found is None and mime is not None and mime.startswith("application/vnd.oasis.opendocument."):
        return zip.members
    if found is None and mime in _OF_AN_ISO and path[-4:].lower() in (".iso", ".udf"):
        # The mark of ISO 9660 lies behind 32 KiB that belong to nobody or to a boot loader, too far to be seen from the head.
        return _READERS["application/x-iso9660-image"]
    return found


_OF_AN_ISO: Final = (None, "application/x-mbr-image", "application/x-gpt-image")


def is_container(mime: str | None, path: str) -> bool:
    """Whether :func:`expand` has a reader for this type. Office documents count: the pictures in them matter."""
    return _reader(mime, path) is not None


def expand(
    stream: IO[bytes],
    mime: str | None,
    path: str,
    limits: Limits,
    consume: Consume,
    problem: Callable[[str], None],
    only: tuple[int, ...] | None = None,
) -> None:
    """Hand every member of the container in ``stream`` (seekable) to ``consume(trail, member, pieces)``.

    ``trail`` is the chain of the members' numbers, outermost first; a container comes before its members. ``pieces`` are the
    member's bytes, at most 1 MiB each; they may raise :class:`~amparo.errors.ReadFailed` where the content is damaged or a bound
    is reached, and need not be read to the end. ``problem`` gets a sentence for whatever could not be opened. With ``only``,
    that one member is handed over and nothing else. ``mime`` None: the type is looked up from the first bytes.

    Raises what ``consume`` raises, and OSError or ReadFailed where ``stream`` itself cannot be read.
    """
    view = View(stream)
    if mime is None:
        mime = mime_of(view.take(0, HEAD), path)
    walk = _Walk(limits, view.size, consume, problem, only)
    try:
        walk.open(view, mime, path, ())
    except BoundReached as error:
        problem(str(error))


class _Walk:
    """One pass over one outermost file."""

    def __init__(
        self,
        limits: Limits,
        size: int,
        consume: Consume,
        problem: Callable[[str], None],
        only: tuple[int, ...] | None,
    ) -> None:
        self.limits, self.consume, self.problem, self.only = limits, consume, problem, only
        self.budget = Budget(limits, size)

    def open(self, view: View, mime: str | None, path: str, trail: tuple[int, ...]) -> None:
        """Hand over the members of one container. Raises BoundReached."""
        reader = _reader(mime, path)
        if reader is None:
            return
        where = path if trail else ""
        refused: list[str] = []
        reading = reader(view, path, self.budget, lambda text: self._tell(where, text))
        while True:
            try:
                content = next(reading, None)
            except BoundReached:
                raise
            except Exception as error:  # whatever a reader raises is a finding about hostile bytes
                self._tell(where, _sentence(error))
                break
            if content is None:
                break
            self.budget.count_member()
            if content.member.problem is None and (content.member.size or 0) > self.budget.size:
                content = self._too_large(content)
            if content.member.problem:
                refused.append(f"{content.member.path}: {content.member.problem}")
            self._hand_over(view, content, (*trail, content.number))
            if self.only is not None and self.only[: len(trail) + 1] == (*trail, content.number):
                break
        if refused:
            more = f" ({len(refused) - 1} more members were not read either.)" if refused[1:] else ""
            self._tell(where, refused[0] + more)

    def _too_large(self, content: Content) -> Content:
        sentence = f"It is larger than {self.budget.size:,} bytes, the most that is taken out of a container."
        return content._replace(member=content.member._replace(problem=sentence), open=once(sentence))

    def _tell(self, where: str, text: str) -> None:
        self.problem(f"{where}: {text}" if where else text)

    def _hand_over(self, view: View, content: Content, trail: tuple[int, ...]) -> None:
        if self.only is not None and self.only[: len(trail)] != trail:
            return
        feed = _Feed(content, self.budget)
        try:
            if self.only is None or self.only == trail:
                self.consume(trail, content.member, feed)
                if self.only is not None:
                    return
            feed.drain()
            if content.window is not None:
                # It lies there as it is, so it can be opened even where its own bytes were not wanted or were too many.
                stream = view.part(*content.window)
                mime = mime_of(stream.take(0, HEAD), content.member.path)
                if is_container(mime, content.member.path):
                    self._inner(stream, mime, content.member.path, trail)
            elif feed.mime is not None and is_container(feed.mime, content.member.path):
                inner: Any = feed.kept
                if inner is None:
                    inner = io.BufferedReader(Again(content.open, feed.size, self.budget), 1 << 16)
                self._inner(View(inner, 0, feed.size), feed.mime, content.member.path, trail)
        finally:
            feed.close()
        if feed.stopped is not None:
            raise feed.stopped

    def _inner(self, view: View, mime: str | None, path: str, trail: tuple[int, ...]) -> None:
        if len(trail) >= self.limits.depth:
            self._tell(path, f"It lies {len(trail)} containers deep, so what is inside was not searched.")
            return
        self.open(view, mime, path, trail)


class _Feed:
    """The pieces of one member on their way to ``consume``: counted, bounded, and kept where they are a container's."""

    def __init__(self, content: Content, budget: Budget) -> None:
        self._budget = budget
        self._pieces = content.open()
        self._path = content.member.path
        self._declared = content.member.size
        self._keeps = content.window is None
        self.size = 0
        self.mime: str | None = None
        self.kept: io.BytesIO | None = None
        self.stopped: BoundReached | None = None
        self._held = 0
        self._over = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._over:
            raise StopIteration
        try:
            piece = next(self._pieces)
            while not piece:
                piece = next(self._pieces)
            self._take(piece)
            return piece
        except StopIteration:
            self._over = True
            if self._declared is not None and self.size != self._declared:
                raise Damaged(f"It unpacks to {self.size} bytes where {self._declared} are declared.") from None
            raise
        except BoundReached as error:
            self._over = True
            self.stopped = error
            raise
        except Exception as error:  # whatever a reader raises is a finding about hostile bytes
            self._over = True
            raise damaged(error) from None

    def _take(self, piece: bytes) -> None:
        budget = self._budget
        if not self.size:
            self.mime = mime_of(piece[:HEAD], self._path)
            if self._keeps and is_container(self.mime, self._path):
                self.kept = io.BytesIO()
        budget.spend(len(piece))
        if self.size + len(piece) > budget.size:
            raise TooLarge(f"It is larger than {budget.size:,} bytes, the most that is taken out of a container.")
        self.size += len(piece)
        if self.kept is not None:
            if budget.kept + len(piece) > budget.limits.memory:
                self._let_go()
            else:
                budget.kept += len(piece)
                self._held += len(piece)
                self.kept.write(piece)

    def _let_go(self) -> None:
        self.kept = None
        self._budget.kept -= self._held
        self._held = 0

    def drain(self) -> None:
        """Read what the consumer left, where it is wanted: a container's. Damage ends it; what came is what there is."""
        try:
            for _ in self:
                if not is_container(self.mime, self._path):
                    return
        except (AmparoError, OSError, MemoryError):
            pass

    def close(self) -> None:
        self._let_go()


def _sentence(error: Exception) -> str:
    text = str(damaged(error))
    return "It is damaged, so what follows was not read." if text == "Its content is damaged." else text
