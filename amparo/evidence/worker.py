"""What one worker does: opens the source for itself, and reads files, carves shards, or gathers contents on request."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from amparo import digests
from amparo.digests import Digests
from amparo.errors import AmparoError, ReadFailed
from amparo.evidence import fingerprints, inside, reading
from amparo.evidence.source import folder, image, volumes
from amparo.evidence.source.device import Device
from amparo.evidence.source.entry import Runs
from amparo.evidence.task import Found, Inside, Row, Task, task_of

KEEP_WHOLE = 32 << 20  # an archive up to this size is kept in memory from the one read instead of being read again


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """How a process opens the source for itself."""

    path: Path
    is_folder: bool
    volumes: tuple[volumes.Volume, ...]
    keys: tuple[str, ...] = ()
    limits: inside.Limits = field(default_factory=inside.Limits)
    open_containers: bool = True
    fingerprints: bool = False


# In place of a FileRead that has only MD5, SHA-1, SHA-256 and a type, as nearly all have: it travels in a third of the time.
Plain = tuple[str | None, str | None, str | None, str | None]


class _Plain(NamedTuple):
    """The same before the digests are taken."""

    digests: Digests
    mime: str | None


class FileRead(NamedTuple):
    """Result of reading one file: its finding, its members, and sentences for ``problems`` as ``(stage, message)``.

    The unit is the file's row as :func:`task_of` takes it.
    """

    found: Found
    members: list[Inside]
    problems: list[tuple[str, str]]


class Again(NamedTuple):
    """Unit: read a file without what may have brought its reader down: no fingerprint; and where it is ``bare``, nothing but its
    digests."""

    row: Row
    bare: bool


class Decode(NamedTuple):
    """Unit: take the fingerprints of a file that was carved."""

    row: Row
    mime: str


class CarveShard(NamedTuple):
    """Unit: look for files in free ranges of a volume; those that begin before ``until`` are this shard's."""

    shard: int
    volume: int
    runs: Runs
    until: int


class Carving(NamedTuple):
    """Result: ``(offset, length, suffix, finding, members)`` of each file, and sentences for ``problems``."""

    files: list[tuple[int, int, str, FileRead]]
    problems: list[str]


class Gather(NamedTuple):
    """Unit: encrypt one content into the package. ``trail`` leads to a member; ``sha256`` is what it must still be."""

    file: int
    task: Task
    trails: tuple[tuple[int, ...], ...]
    sha256: str
    recipients: tuple[str, ...]
    folder: Path


class Worker:
    """The opened source of one process."""

    def __init__(self, spec: SourceSpec) -> None:
        self.spec = spec
        self._source: Device | None = None
        self._devices: dict[int, Device] = {}
        self._systems: dict[int, Any] = {}
        self._volumes = {volume.id: volume for volume in spec.volumes}

    def __call__(self, unit: Any) -> Any:
        if type(unit) is tuple:
            return self._read(task_of(unit))
        if isinstance(unit, Again):
            return self._read(task_of(unit.row), prints=False, bare=unit.bare)
        if isinstance(unit, Decode):
            return fingerprints.take(unit.mime, self._seekable(task_of(unit.row)), unit.row[3])
        if isinstance(unit, CarveShard):
            return self.carve(unit)
        assert isinstance(unit, Gather)
        return self.gather(unit)

    def _device(self, number: int) -> Device:
        device = self._devices.get(number)
        if device is None:
            if self._source is None:
                self._source = image.open_image(self.spec.path)
            device = volumes.open_volume(self._source, self._volumes[number], self.spec.keys)
            self._devices[number] = device
        return device

    def _pieces(self, task: Task, lost: list[tuple[int, int]]) -> Iterable[bytes]:
        if task.inline is not None:
            return (task.inline,) if task.inline else ()
        if self.spec.is_folder:
            return folder.pieces(self.spec.path, task.address)
        if task.runs is not None:
            return reading.run_pieces(self._device(task.volume), task.runs, task.valid, lost)
        return self._by_library(task)

    def _by_library(self, task: Task) -> Iterator[bytes]:
        system = self._systems.get(task.volume)
        if system is None:
            device = self._device(task.volume)
            kind = self._volumes[task.volume].filesystem
            assert kind is not None
            system = self._systems[task.volume] = volumes.open_content(device, kind, self.spec.keys)
        yield from system.content(task.address, task.size)

    def _seekable(self, task: Task) -> io.BufferedIOBase | None:
        if task.inline is not None:
            return io.BytesIO(task.inline)
        if self.spec.is_folder:
            return folder.seekable(self.spec.path, task.address)
        if task.runs is not None:
            return io.BufferedReader(
                reading.RunsFile(self._device(task.volume), task.runs, task.size, task.valid), 1 << 16
            )
        return None

    def settle(self, results: list[Any]) -> list[Any]:
        """The results of a batch, once all its files were read: their digests are taken two files at a time."""
        digests.settle([result.digests for result in results if isinstance(result, _Plain)])
        return [(*r.digests.hexdigests(), r.mime) if isinstance(r, _Plain) else r for r in results]

    def read(self, task: Task, prints: bool = True) -> FileRead:
        """Digests, type, fingerprints and members of one file; never raises for what the file holds."""
        read = self._read(task, prints)
        return (
            FileRead(Found(*read.digests.hexdigests(), read.mime, None), [], []) if isinstance(read, _Plain) else read
        )

    def _read(self, task: Task, prints: bool = True, bare: bool = False) -> FileRead | _Plain:
        prints = prints and self.spec.fingerprints
        problems: list[tuple[str, str]] = []
        lost: list[tuple[int, int]] = []

        def to_open(mime: str | None) -> bool:
            return self.spec.open_containers and not bare and inside.is_container(mime, task.path)

        def keep(mime: str | None) -> bool:
            if prints and fingerprints.wanted(mime, task.size):
                return True
            return task.size <= KEEP_WHOLE and to_open(mime)

        try:
            known = reading.read(self._pieces(task, lost), task.path, task.size, keep, hooks=not bare)
        except (AmparoError, OSError, MemoryError) as error:
            why = str(error) if isinstance(error, AmparoError) else f"It cannot be read ({type(error).__name__})."
            return FileRead(Found(None, None, None, None, why), [], [("read", why)])
        problem = None
        if lost:
            amount = sum(length for _, length in lost)
            problem = (
                f"{amount} bytes cannot be read and were taken as zeros, the first at byte {lost[0][0]} of the volume."
            )
            problems.append(("read", problem))
        elif known.size != task.size:
            problem = f"Only {known.size} of {task.size} bytes could be read."
            problems.append(("read", problem))
        opened = known.size and to_open(known.mime)
        if prints and known.size:
            self._fingerprint(known, lambda: self._seekable(task))
        if not (opened or problem or known.additions):
            return _Plain(known.digests, known.mime)
        found = Found(*known.digests.hexdigests(), known.mime, problem, tuple(known.additions))
        members: list[Inside] = []
        if opened:
            stream: Any = known.kept or self._seekable(task)
            if stream is None:
                problems.append(
                    ("inside", "It is too large to be opened where it lies, so what is inside was not searched.")
                )
            else:
                stream.seek(0)
                self._open(stream, known.mime, task.path, members, problems, prints)
        return FileRead(found, members, problems)

    def _fingerprint(self, known: reading.Reading, again: Callable[[], Any]) -> None:
        """Add the fingerprints of a picture or a film to its reading."""
        if not (fingerprints.is_picture(known.mime) or fingerprints.is_film(known.mime)):
            return
        taken = fingerprints.take(known.mime, known.kept or again(), known.size)
        problems = () if taken.problem is None else (taken.problem,)
        known.additions.append(reading.Additions(problems=problems, prints=taken.prints, stage=fingerprints.STAGE))

    def _open(
        self,
        stream: Any,
        mime: str | None,
        path: str,
        members: list[Inside],
        problems: list[tuple[str, str]],
        prints: bool,
    ) -> None:
        def kept(mime: str | None) -> bool:
            return prints and (fingerprints.is_picture(mime) or fingerprints.is_film(mime))

        def consume(trail: tuple[int, ...], member: inside.Member, pieces: Iterator[bytes]) -> None:
            problem = member.problem
            try:
                known = reading.read(pieces, member.path, member.size or 0, kept)
                if prints:
                    self._fingerprint(known, lambda: None)
                found = Found(*known.digests.hexdigests(), known.mime, problem, tuple(known.additions))
                size = known.size
            except (AmparoError, OSError, ValueError, EOFError, MemoryError) as error:
                problem = problem or (str(error) if isinstance(error, AmparoError) else "Its content is damaged.")
                found, size = Found(None, None, None, None, problem), member.size or 0
            if problem and member.problem is None:
                problems.append(("inside", f"{member.path}: {problem}"))
            if member.problem is not None and found.md5 is not None and not size:
                found = Found(None, None, None, None, problem)  # nothing came: the digests of nothing would mislead
            members.append(Inside(trail, member.path, size, member.modified, found))

        inside.expand(
            stream, mime, path, self.spec.limits, consume, lambda sentence: problems.append(("inside", sentence))
        )

    def carve(self, unit: CarveShard) -> Carving:
        """The files that lie in these free ranges, with their digests."""
        from amparo.evidence import carving

        found: list[tuple[int, int, str, FileRead]] = []
        problems: list[str] = []
        device = self._device(unit.volume)
        try:
            for item in carving.carve(device, unit.runs, until=unit.until):
                name = f"$Carved/{item.offset:012x}.{item.kind}"
                task = Task(0, unit.volume, name, item.length, "", [(item.offset, item.length)], None, None)
                found.append((item.offset, item.length, item.kind, self.read(task, prints=False)))
        except (ReadFailed, OSError) as error:
            problems.append(f"Free space could not be carved to its end: {error}")
        return Carving(found, problems)

    def gather(self, unit: Gather) -> Any:
        """Encrypt one content to the recipients, and give what was gathered or the sentence that says why not."""
        from amparo.evidence import gathering

        try:
            if not unit.trails:
                return gathering.gather(self._pieces(unit.task, []), unit.recipients, unit.folder)
            stream: Any = self._seekable(unit.task)
            if stream is None and unit.task.size <= KEEP_WHOLE:
                stream = io.BytesIO(b"".join(self._pieces(unit.task, [])))
            if stream is None:
                return "It is too large to be opened where it lies."
            results: list[Any] = []

            def consume(trail: tuple[int, ...], member: inside.Member, pieces: Iterator[bytes]) -> None:
                results.append(gathering.gather(pieces, unit.recipients, unit.folder))

            # Only that member: damage in another one must not keep it from being gathered.
            inside.expand(
                stream, None, unit.task.path, self.spec.limits, consume, lambda sentence: None, only=unit.trails[-1]
            )
            return results[0] if results else "It was not met again inside its archive."
        except (AmparoError, OSError) as error:
            return str(error)


def prepare(spec: SourceSpec) -> Callable[[Any], Any]:
    """Runs once in each worker process."""
    return Worker(spec)
