"""The first two stages: which volumes there are, what files each holds, and which free space is left to carve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

from amparo.child import ChildDied, Ended, Stream, isolated
from amparo.crew import Job
from amparo.errors import AmparoError, ReadFailed, SourceUnreadable
from amparo.evidence.plan import Plan, Shard
from amparo.evidence.source import folder, image, volumes
from amparo.evidence.source.entry import Entry, Runs
from amparo.evidence.source.free_space import Allocation
from amparo.evidence.task import Row, row_of
from amparo.evidence.watcher import Watcher
from amparo.evidence.worker import SourceSpec

BATCH = 2_000
SHARD = 256 << 20
MOST_PROBLEMS = 5_000  # a volume torn to pieces tells so a million times


def survey(source: Path, keys: tuple[str, ...], patience: float = 600.0) -> volumes.Survey:
    """The volumes of an image, found in a child. Raises :class:`SourceUnreadable` where it cannot be read at all.

    Where what is nested in a volume brings its reader down, or keeps it for ``patience`` seconds, the rest is still found.
    """
    found: volumes.Survey
    try:
        found = next(isolated(_survey, source, keys, True, patience=patience))
        return found
    except ChildDied as error:
        why = str(error)
    try:
        found = next(isolated(_survey, source, keys, False, patience=patience))
    except (ChildDied, ReadFailed):
        raise SourceUnreadable(f"The source cannot be read: {why}; check it with another tool.") from None
    found.problems.append(
        ("volumes", None, f"What is nested in the volumes (encryption, LVM, shadow copies) was not searched: {why}.")
    )
    return found


def _survey(path: Path, keys: tuple[str, ...], nested: bool) -> Iterator[volumes.Survey]:
    device = image.open_image(path)
    yield volumes.survey(device, keys, nested)


# A batch of rows, sentences for ``problems``, and once, at the end, the free runs.
Listed = tuple[list[Row], list[str], Runs | None]


def _list(spec: SourceSpec, number: int) -> Iterator[Listed]:
    """In a child: the rows of one volume's files in batches, then its free space."""
    problems: list[str] = []
    volume = next(volume for volume in spec.volumes if volume.id == number)
    if spec.is_folder:
        yield from _batches(volume, folder.entries(spec.path, problems), problems, count())
        return
    device = volumes.open_volume(image.open_image(spec.path), volume, spec.keys)
    if volume.filesystem is None:
        yield [], [], [(0, device.size)]
        return
    try:
        system = volumes.open_filesystem(device, volume.filesystem, spec.keys)
    except (SourceUnreadable, ReadFailed) as error:
        yield [], [f"{error} The volume was only carved."], [(0, device.size)]
        return
    numbers = count()
    for part in getattr(system, "parts", lambda: [system.entries()])():
        yield from _batches(volume, part, system.problems, numbers)  # to its end: what comes next may hang or crash
    try:
        free: Runs | None = system.allocation().free()
    except ReadFailed as error:
        free = None
        system.problems.append(str(error))
    yield [], system.problems[:], free


def _batches(
    volume: volumes.Volume, entries: Iterator[Entry], problems: list[str], numbers: Iterator[int]
) -> Iterator[Listed]:
    batch: list[Row] = []
    for entry in entries:
        batch.append(row_of(volume, next(numbers), entry))
        if len(batch) >= BATCH:
            yield batch, problems[:], None
            problems.clear()
            batch = []
    yield batch, problems[:], None
    problems.clear()


class Listing:
    """The listing of every volume not listed yet, one after another; the crew already reads what is urgent meanwhile.

    Each volume's files and the shards of its free space are written in one transaction, with whatever was read of them in
    that time. A listing that was cut by a kill is begun anew; one that crashes, or gives nothing for ``patience``
    seconds, keeps what it gave before, and says so. ``chosen`` makes jobs of rows as :func:`task_of` takes them.
    """

    def __init__(
        self,
        plan: Plan,
        spec: SourceSpec,
        watcher: Watcher,
        chosen: Callable[[list[Row]], Iterator[Job]],
        patience: float = 600.0,
    ) -> None:
        self._plan, self._spec, self._watcher, self._chosen, self._patience = plan, spec, watcher, chosen, patience
        self._waiting = [
            volume
            for volume in spec.volumes
            if not plan[f"listed {volume.id}"] and volume.filesystem not in volumes.CONTAINERS
        ]
        self._stream: Stream | None = None
        self._free: Runs | None = None
        self._number = self._told = 0

    def begin(self) -> None:
        """Start with the first volume that waits. A transaction must be open, and stays so."""
        if self._waiting:
            self._plan.forget_listing(self._waiting[0].id)
            self._free, self._number, self._told = None, 0, 0
            self._stream = Stream(_list, self._spec, self._waiting[0].id, patience=self._patience)

    @property
    def pipe(self) -> Connection | None:
        """Readable when more files were listed; None once every volume is."""
        return self._stream.pipe if self._stream is not None else None

    def absorb(self, wanted: bool) -> list[Job]:
        """Write what came into the plan; the jobs in it that cannot wait, where they are ``wanted``."""
        assert self._stream is not None
        try:
            if not self._stream.came():
                return []
            rows, problems, space = self._stream.take()
        except Ended:
            self._close()
        except ChildDied as error:
            self._tell(f"The listing stopped after {self._number} files: {error}.")
            self._close()
        except (AmparoError, OSError, ValueError) as error:
            self._tell(f"The listing stopped after {self._number} files: {error}")
            self._close()
        else:
            tasks = self._plan.add_rows(rows)
            self._number += len(rows)
            self._free = space if space is not None else self._free
            for sentence in problems[: max(0, MOST_PROBLEMS - self._told)]:
                self._tell(sentence)
            self._told += len(problems)
            self._watcher.advance(len(rows), 0)
            return list(self._chosen(tasks)) if wanted else []
        return []

    def stop(self) -> None:
        """End the child, wherever it is."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _tell(self, sentence: str) -> None:
        volume = self._waiting[0]
        place = f"volume {volume.id}" if volume.id else None
        self._plan.problem("list", place, sentence, f"list {volume.id}")
        self._watcher.problem("list", place, sentence)

    def _close(self) -> None:
        """The first volume is listed: keep that, and go on with the next."""
        self.stop()
        if self._told > MOST_PROBLEMS:
            more = self._told - MOST_PROBLEMS
            self._tell(f"{more} more such sentences were left out: the volume is damaged in many places.")
        volume = self._waiting.pop(0)
        free = self._free
        if free is None:  # nothing says what is in use: all that no live file claims is looked through
            live = self._plan.live_runs(volume.id)
            free = [] if self._spec.is_folder else Allocation.from_runs(live, volume.size).free()
        self._plan.add_shards(volume, shards(free))
        self._plan[f"listed {volume.id}"] = "1"
        self._plan.commit()
        self._plan.begin()
        self.begin()


def shards(free: Runs, size: int = SHARD) -> Iterator[Shard]:
    """Free space cut into shards of about ``size`` bytes, by address.

    A shard's runs reach past ``until`` to the end of the run that was cut there, for the file that begins before it.
    """
    pieces: Runs = []
    filled = 0
    for offset, length in free:
        at, end = offset, offset + length
        while filled + end - at > size:
            cut = at + size - filled
            yield Shard([*pieces, (at, end - at)], cut)
            pieces, filled, at = [], 0, cut
        if end > at:
            pieces.append((at, end - at))
            filled += end - at
    if pieces:
        yield Shard(pieces, pieces[-1][0] + pieces[-1][1])
