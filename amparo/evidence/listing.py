"""The first two stages: which volumes there are, what files each holds, and which free space is left to carve."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from amparo.errors import AmparoError, ReadFailed, SourceUnreadable
from amparo.evidence.crew import ChildDied, isolated
from amparo.evidence.plan import Plan, Row, Shard, row_of
from amparo.evidence.source import folder, image, volumes
from amparo.evidence.source.entry import Entry, Runs
from amparo.evidence.source.free_space import Allocation
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


def list_volume(
    plan: Plan, spec: SourceSpec, volume: volumes.Volume, watcher: Watcher, patience: float = 600.0
) -> None:
    """Write one volume's files and the shards of its free space into the plan, in one transaction.

    A listing that was cut by a kill is begun anew; one that crashes, or gives nothing for ``patience`` seconds, keeps what it gave
    before, and says so.
    """
    done, unit = f"listed {volume.id}", f"list {volume.id}"
    if plan[done] or volume.filesystem in volumes.CONTAINERS:
        return
    place = f"volume {volume.id}" if volume.id else None
    plan.begin()
    plan.forget_listing(volume.id)
    number, told = 0, 0
    free: Runs | None = None

    def tell(sentence: str) -> None:
        plan.problem("list", place, sentence, unit)
        watcher.problem("list", place, sentence)

    try:
        for rows, problems, space in isolated(_list, spec, volume.id, patience=patience):
            plan.add_rows(rows)
            number += len(rows)
            free = space if space is not None else free
            for sentence in problems[: max(0, MOST_PROBLEMS - told)]:
                tell(sentence)
            told += len(problems)
            watcher.advance(len(rows), 0)
    except ChildDied as error:
        tell(f"The listing stopped after {number} files: {error}.")
    except (AmparoError, OSError, ValueError) as error:
        tell(f"The listing stopped after {number} files: {error}")
    if told > MOST_PROBLEMS:
        tell(f"{told - MOST_PROBLEMS} more such sentences were left out: the volume is damaged in many places.")
    if free is None:  # nothing says what is in use: all that no live file claims is looked through
        free = [] if spec.is_folder else Allocation.from_runs(plan.live_runs(volume.id), volume.size).free()
    plan.add_shards(volume, shards(free))
    plan[done] = "1"
    plan.commit()


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
