"""The run: survey, list, read, carve, gather; each stage goes on where it was left.

What the source holds decides the result, not how often the run was interrupted or how many workers it had.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from amparo.crew import Crew, Engine, Job
from amparo.evidence import inside, listing
from amparo.evidence.fingerprints import STAGE, Taken
from amparo.evidence.plan import Plan
from amparo.evidence.reading import Additions
from amparo.evidence.results import Results
from amparo.evidence.source import folder, volumes
from amparo.evidence.source.entry import SPARSE, Runs
from amparo.evidence.task import LATER, SOON, Found, Row, task_of
from amparo.evidence.watcher import Watcher
from amparo.evidence.worker import Again, CarveShard, Carving, Decode, FileRead, Gather, Plain, SourceSpec, prepare

if TYPE_CHECKING:
    from amparo.known.index import KnownIndex

BATCH_FILES, BATCH_BYTES = 64, 16 << 20
UNITS_A_COMMIT = 2048
SECONDS_A_FILE, SLOWEST_BYTES_A_SECOND = 120.0, 2 << 20
LARGE = 64 << 20  # from this size on, what a file really takes is looked at
PATIENCE = 5  # so many times as long as for one file, a volume may give nothing while it is opened or listed


@dataclass(frozen=True, slots=True)
class Options:
    """What the examiner chose."""

    workers: int
    keys: tuple[str, ...] = ()
    triage: bool = False
    carve: bool = True
    containers: bool = True
    fingerprints: bool = False
    gather: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    limits: inside.Limits = field(default_factory=inside.Limits)
    seconds_a_file: float = SECONDS_A_FILE
    engine: str | None = None  # the address of a cluster


class Search:
    """One run over one source. ``plan`` holds everything that outlives a kill."""

    def __init__(self, source: Path, plan: Plan, options: Options, known: KnownIndex | None, watcher: Watcher) -> None:
        self.source, self.plan, self.options, self.watcher = source, plan, options, watcher
        self.results = Results(plan, known, watcher)
        self.is_folder = source.is_dir()
        self._handed: set[int] = set()  # files that are being read since the listing met them
        self._listed = False
        self._broken: list[tuple[Row, str]] = []
        self._sizes: dict[int, int] = {}
        self._patience = options.seconds_a_file * PATIENCE

    def run(self, gathered: Path) -> None:
        """All stages. Raises :class:`SourceUnreadable` where nothing at all can be read."""
        self.survey()
        crew = self._engine()
        try:
            self.read(crew)
            if self.options.carve and not self.is_folder and not self.options.triage:
                self.carve(crew)
            if self.options.recipients:
                self.gather(crew, gathered)
        finally:
            crew.dismiss()

    def _engine(self) -> Engine:
        if self.options.engine is None:
            return Crew(self.options.workers, prepare, self._spec())
        from amparo.cluster import Cluster

        return Cluster(self.options.engine, self.options.workers or None, prepare, self._spec())

    def _spec(self) -> SourceSpec:
        return SourceSpec(
            self.source.absolute(),  # the workers of a cluster stand elsewhere
            self.is_folder,
            tuple(self.plan.volumes()),
            self.options.keys,
            self.options.limits,
            self.options.containers,
            self.options.fingerprints,
        )

    def survey(self) -> None:
        """Find the volumes."""
        if self.plan["surveyed"]:
            return
        self.watcher.stage("survey", 0, 0)
        if self.is_folder:
            found = volumes.Survey([volumes.Volume(0, "folder", 0, 0)])
        else:
            found = listing.survey(self.source, self.options.keys, self._patience)
        self.plan.begin()
        self.plan.add_volumes(found.volumes)
        for stage, path, message in found.problems:
            self.results.problem(stage, path, message)
        self.plan["surveyed"] = "1"
        self.plan.commit()

    def read(self, crew: Engine) -> None:
        """List every volume and read its files, the urgent first; what is most urgent is read while the listing goes on."""
        self._sizes = {volume.id: volume.size for volume in self.plan.volumes()}
        self.watcher.stage("list", 0, 0)
        found = listing.Listing(self.plan, self._spec(), self.watcher, self._urgent, self._patience)
        self.plan.begin()
        try:
            found.begin()
            for count, (row, result) in enumerate(crew.run(self._rest(), _broken, found), 1):
                if isinstance(result, Broken):
                    self._broken.append((row, result.why))
                    continue
                self.results.keep_file(row, result)
                self._handed.discard(row[0])
                if self._listed:
                    self.watcher.advance(1, row[3])
                    if count % UNITS_A_COMMIT == 0:
                        self.plan.commit()
                        self.plan.begin()
        except BaseException:
            found.stop()
            self.plan.rollback()  # a unit kept by half would pass for done
            raise
        self.plan.commit()
        self._read_again(crew)

    def _read_again(self, crew: Engine) -> None:
        """What brought its reader down, once more with less: what a decoder cannot bear is still evidence."""
        if self.options.fingerprints:
            self._again(crew, bare=False)
        self._again(crew, bare=True)

    def _again(self, crew: Engine, bare: bool) -> None:
        broken, self._broken = self._broken, []
        whys = {row[0]: why for row, why in broken}

        def keep(unit: Again, result: FileRead | Plain | Broken) -> None:
            row = unit.row
            if isinstance(result, Broken) and not bare:
                self._broken.append((row, result.why))
                return
            if isinstance(result, Broken):
                result = _unreadable(row, result.why)
            else:
                why = whys[row[0]]
                if bare:
                    self.results.problem("read", row[2], f"Only its digests were taken: {why}.")
                else:
                    self.results.problem(STAGE, row[2], f"No fingerprint was taken: {why}.")
            self.results.keep_file(row, result)
            self.watcher.advance(1, row[3])

        self._keep(crew.run((Job([Again(row, bare)], [self._seconds(row)]) for row, _ in broken), _broken), keep)

    def _urgent(self, rows: list[Row]) -> Iterator[Job]:
        self._handed.update(row[0] for row in rows)
        return self._jobs(rows)

    def _rest(self) -> Iterator[Job]:
        """What is left to read once everything is listed: asked for while workers still read what the listing gave them."""
        self.plan.commit()  # what was read must be seen to be
        self.plan.begin()
        self._listed = True
        last = SOON if self.options.triage else LATER
        self.watcher.stage("read", *self.plan.remaining(last))
        handed = frozenset(self._handed)
        yield from self._jobs(row for row in self.plan.tasks(last) if row[0] not in handed)

    def _jobs(self, rows: Iterable[Row]) -> Iterator[Job]:
        batch: list[Any] = []
        limits: list[float] = []
        size = 0
        for row in rows:
            batch.append(row)
            limits.append(self._seconds(row))
            size += row[3]
            if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
                yield Job(batch, limits, size <= 2 * BATCH_BYTES)
                batch, limits, size = [], [], 0
        if batch:
            yield Job(batch, limits, size <= 2 * BATCH_BYTES)

    def _seconds(self, row: Row) -> float:
        """How long a file may take: by what the medium holds of it, for a hole can claim any size."""
        size: int = row[3]
        if size > LARGE:
            task = task_of(row)
            if self.is_folder:
                size = min(size, folder.stored(self.source, task.address))
            else:
                if task.runs is not None:
                    size = min(size, sum(length for offset, length in task.runs if offset != SPARSE))
                size = min(size, self._sizes[task.volume])
        return self.options.seconds_a_file + size / SLOWEST_BYTES_A_SECOND

    def _keep(self, results: Iterator[tuple[Any, Any]], keep: Callable[[Any, Any], None]) -> None:
        """Keep each unit's results with the mark that it was done, some hundred units a transaction."""
        self.plan.begin()
        try:
            for count, (unit, result) in enumerate(results, 1):
                keep(unit, result)
                if count % UNITS_A_COMMIT == 0:
                    self.plan.commit()
                    self.plan.begin()
        except BaseException:
            self.plan.rollback()  # a unit kept by half would pass for done
            raise
        self.plan.commit()

    # Carving ----------------------------------------------------------------------------------------------------

    def carve(self, crew: Engine) -> None:
        """Look for files in free space, shard by shard."""
        rows = self.plan.database.execute(
            "select id, volume, runs, until from shards where not done order by id"
        ).fetchall()
        self.watcher.stage("carve", 0, sum(_length_before(row[3], json.loads(row[2])) for row in rows))
        units = [CarveShard(row[0], row[1], [(o, n) for o, n in json.loads(row[2])], row[3]) for row in rows]
        limit = self.options.seconds_a_file * 10
        found = {volume.id: volume for volume in self.plan.volumes()}

        def keep(unit: CarveShard, result: Carving) -> None:
            for offset, length, suffix, read in result.files:
                if self._already_listed(unit.volume, offset, length):
                    continue
                row = self.plan.add_carved(found[unit.volume], offset, length, suffix)
                self.results.keep_reading(row, f"$Carved/{offset:012x}.{suffix}", read)
            for message in result.problems:
                self.results.problem("carve", f"volume {unit.volume}", message)
            self.plan.database.execute("update shards set done = 1 where id = ?", (unit.shard,))
            self.watcher.advance(len(result.files), _length_before(unit.until, unit.runs))

        self._keep(crew.run((Job([unit], [limit]) for unit in units), _uncarvable), keep)
        self.plan.forget_nested_carvings()
        if self.options.fingerprints:
            self._decode_carved(crew)

    def _decode_carved(self, crew: Engine) -> None:
        """The fingerprints of what was carved, file by file: one that brings its reader down must not cost its whole shard."""
        units = [Decode(row, mime) for row, mime in self.plan.carved_to_decode()]
        self.watcher.stage("decode", len(units), sum(unit.row[3] for unit in units))

        def keep(unit: Decode, taken: Taken) -> None:
            number, path = unit.row[0], unit.row[2]
            problems = () if taken.problem is None else (taken.problem,)
            self.results.keep_additions(number, path, (Additions(problems=problems, prints=taken.prints, stage=STAGE),))
            self.plan.decoded(number)
            self.watcher.advance(1, unit.row[3])

        jobs = (Job([unit], [self._seconds(unit.row)]) for unit in units)
        self._keep(crew.run(jobs, lambda unit, why: Taken((), f"No fingerprint was taken: {why}.")), keep)

    def _already_listed(self, volume: int, offset: int, length: int) -> bool:
        """Whether a deleted file that was read begins at this very place and reaches as far: then it is the same one."""
        row = self.plan.database.execute(
            "select 1 from files where volume = ? and state in ('deleted', 'orphan') and problem is null and size >= ?"
            " and at = shift + ? and runs is not null limit 1",
            (volume, length, offset),
        ).fetchone()
        return row is not None

    # Gathering --------------------------------------------------------------------------------------------------

    def gather(self, crew: Engine, into: Path) -> None:
        """Encrypt the contents of matched files, and of those the examiner named, to the recipients."""
        units = list(self._to_gather(into))
        self.watcher.stage("gather", len(units), 0)
        reasons = {unit.file: reason for unit, reason in units}
        jobs = (
            Job([unit], [self.options.seconds_a_file * 2 + unit.task.size / SLOWEST_BYTES_A_SECOND])
            for unit, _ in units
        )

        def keep(unit: Gather, result: Any) -> None:
            if isinstance(result, str):
                self.results.problem("gather", unit.task.path, result)
            elif result.sha256 != unit.sha256:
                self.results.problem(
                    "gather", unit.task.path, "Its content changed between reading and gathering: check the source."
                )
            else:
                self.plan.database.execute(
                    "insert or replace into gathered values (?, ?, ?, ?, ?)",
                    (unit.file, f"data/gathered/{result.name}", result.size, result.sha256, reasons[unit.file]),
                )
            self.watcher.advance(1, unit.task.size)

        self._keep(crew.run(jobs, lambda unit, why: f"It was not gathered: {why}."), keep)

    def _to_gather(self, into: Path) -> Iterator[tuple[Gather, str]]:
        into.mkdir(exist_ok=True)
        self.plan.database.create_function("named", 1, self._named, deterministic=True)
        rows = self.plan.database.execute(
            "select f.id, r.sha256, f.id in (select file from matches) as matched,"
            " f.id in (select file from accesses) as source, named(f.path) as pattern"
            " from files f join readings r on r.file = f.id where r.sha256 is not null"
            " and f.id not in (select file from gathered) and (matched or source or pattern is not null) order by f.key"
        ).fetchall()
        for file, sha256, matched, source, pattern in rows:
            trail: tuple[int, ...] = ()
            holder = file
            while True:
                row = self.plan.database.execute(
                    "select id, volume, path, size, address, runs, inline, valid, parent, state from files where id = ?",
                    (holder,),
                ).fetchone()
                if row[9] != "inside":
                    break
                trail = trail or tuple(int(part) for part in row[4].split("/"))
                holder = row[8]
            yield (
                Gather(
                    file,
                    task_of(self.plan.uncovered(row[:8])),
                    (trail,) if trail else (),
                    sha256,
                    self.options.recipients,
                    into,
                ),
                "match" if matched else "source" if source else f"pattern: {pattern}",
            )

    def _named(self, path: str) -> str | None:
        """The examiner's first pattern that a path answers to, large and small letters alike."""
        folded = path.casefold()
        return next((p for p in self.options.gather if fnmatch.fnmatchcase(folded, p.casefold())), None)


def _length_before(until: int, runs: Runs) -> int:
    return sum(max(0, min(offset + length, until) - offset) for offset, length in runs)


class Broken(NamedTuple):
    """In place of a result, where the reader was brought down."""

    why: str


def _broken(unit: Any, why: str) -> Broken:
    return Broken(why)


def _unreadable(row: Row, why: str) -> FileRead:
    return FileRead(
        Found(None, None, None, None, f"It was not read: {why}."), [], [("read", f"It was not read: {why}.")]
    )


def _uncarvable(unit: CarveShard, why: str) -> Carving:
    return Carving([], [f"The free space before byte {unit.until} was not carved to its end: {why}."])
