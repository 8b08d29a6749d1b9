"""What ``amparo known match`` and ``amparo known fingerprint`` say and do over files and whole stores."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from amparo.cli_known import row_of, tell_hit
from amparo.crew import Crew, Engine
from amparo.errors import ReadFailed, UsedWrongly
from amparo.known.bulk.journal import Journal
from amparo.known.bulk.run import Done, examined
from amparo.known.bulk.stores import open_stores
from amparo.known.bulk.thing import File, Store, Thing, Trouble
from amparo.known.bulk.worker import Answer, Asking, open_index, prepare
from amparo.known.hits import Hit
from amparo.known.index import KnownIndex
from amparo.known.library import is_library
from amparo.known.shelf import is_shelf
from amparo.language import counted, said
from amparo.terminal import amount, tell, visible
from amparo.translation import here

_MOST_PROBLEMS = 20
_EVERY = 10.0  # seconds between lines where there is no terminal


class Tally:
    """Counts what was examined, and tells it on standard error: a line that stays in place on a terminal, plain lines elsewhere."""

    def __init__(self, quiet: bool, before: dict[str, int] | None = None) -> None:
        counts = before or {}
        self.files, self.size = counts.get("files", 0), counts.get("bytes", 0)
        self.known, self.problems = counts.get("known", 0), counts.get("problems", 0)
        self._quiet, self._shown, self._read = quiet, 0, 0
        self._bar = sys.stderr is not None and sys.stderr.isatty() and not quiet
        self._began = self._last = time.monotonic()

    def counts(self) -> dict[str, int]:
        """For the journal, and for programs."""
        return {"files": self.files, "bytes": self.size, "known": self.known, "problems": self.problems}

    def add(self, name: str, rows: int | None, size: int, known: int, problem: str | None) -> None:
        """One file more, or so many rows of a table."""
        self.files += 1 if rows is None else rows
        self.size += size
        self._read += size
        self.known += known
        if problem is not None:
            self.problem(name, problem)
        now = time.monotonic()
        if self._quiet or now - self._last < (0.2 if self._bar else _EVERY):
            return
        self._last = now
        rate = self._read / max(now - self._began, 1e-9)
        known_so_far = counted("known_of_them", self.known)
        line = f"  {counted('of_files', self.files)}  {amount(self.size)}  {amount(rate)}/s  {known_so_far}"
        tell(f"\r{line}\x1b[K" if self._bar else line, sys.stderr, end="" if self._bar else "\n")

    def problem(self, name: str, sentence: str) -> None:
        """Something could not be read; after the twentieth they are only counted."""
        self.problems += 1
        self._shown += 1
        if self._quiet or self._shown > _MOST_PROBLEMS:
            return
        self.clear()
        tell(f"  {said('not_read')}: {visible(name)}: {visible(here(sentence))}", sys.stderr)
        if self._shown == _MOST_PROBLEMS:
            tell(f"  {said('only_counted')}", sys.stderr)

    def clear(self) -> None:
        """Leave the cursor on a clean line."""
        if self._bar:
            tell("\r\x1b[K", sys.stderr, end="")


def match_stores(given: argparse.Namespace) -> int:
    """``amparo known match PATH...``: 0, or 5 where some files could not be read."""
    if given.resume and given.out is None:
        raise UsedWrongly("--resume goes on with results: name them with --out.")
    stores = open_stores(given.paths, given.endpoint_url, reachable=_reachable(given))
    with ExitStack() as stack:
        index = _at_hand(given.index, stack)
        described = sorted(known["sha256"] for known in open_index(index).described())
        journal = None
        if given.out is not None:
            settings = {"stores": [store.whole for store in stores], "lists": described, "radius": given.radius}
            journal = stack.enter_context(closing(Journal(given.out, settings, given.resume)))
        tally = Tally(given.json, None if journal is None else journal.counts)
        for found in _results(stores, Asking(index, given.radius), given, _done(journal) if journal else None):
            if isinstance(found, Trouble):
                tally.problem(found.name, found.sentence)
                _keep(journal, tally, found.key, [{"path": found.name, "problem": found.sentence}])
                continue
            thing, answer = found
            lines = list(_lines(thing, answer))
            known = sum(any(not hit.good for hit in hits) for _, hits in lines)
            tally.add(thing.name, answer.rows, answer.size, known, answer.problem)
            if journal is None or not given.json:
                for line, hits in lines:
                    tally.clear()
                    for hit in hits:
                        if journal is None or not hit.good:
                            tell_hit("path", line["path"], hit, given.json)
            _keep(journal, tally, thing.key, [line for line, _ in lines])
        tally.clear()
    if given.json and given.out is not None:
        tell(json.dumps(tally.counts()))
    if not given.json:
        tell(said("matched_of", found=tally.known, asked=tally.files) + f"  {amount(tally.size)}", sys.stderr)
        if given.out is not None:
            tell(visible(said("results_at", path=given.out)), sys.stderr)
    return ReadFailed.exit_code if tally.problems else 0


def fingerprint_stores(given: argparse.Namespace) -> int:
    """``amparo known fingerprint PATH...``."""
    named = {str(path) for path in given.paths}
    tally = Tally(given.json)
    for found in _results(
        open_stores(given.paths, given.endpoint_url, False, _reachable(given)), Asking(None), given, None
    ):
        if isinstance(found, Trouble):
            tally.problem(found.name, found.sentence)
            continue
        thing, answer = found
        problem = answer.problem
        if problem is None and not answer.prints and thing.name in named:
            problem = "The file is no picture of a kind that is decoded here."
        tally.add(thing.name, None, answer.size, 0, problem)
        tally.clear()
        for taken in answer.prints:
            if given.json:
                row: dict[str, Any] = {"path": thing.name, "pdq": taken.bits.hex(), "quality": taken.quality,
                                       "dihedral": [form.hex() for form in taken.forms]}  # fmt: skip
                tell(json.dumps(row | ({"frame": taken.frame} if taken.frame else {}), ensure_ascii=False))
            else:
                tell(visible(f"{taken.bits.hex()}  {taken.quality:3}  {thing.name}"))
    tally.clear()
    return ReadFailed.exit_code if tally.problems else 0


def _results(
    stores: Sequence[Store], asking: Asking, given: argparse.Namespace, done: Done | None
) -> Iterator[tuple[Thing, Answer] | Trouble]:
    engine: Engine
    if given.engine:
        from amparo.cluster import Cluster

        engine = Cluster(given.engine, given.workers, prepare, asking)
    else:
        engine = Crew(given.workers or _cores(), prepare, asking)
    try:
        yield from examined(stores, engine, done)
    finally:
        engine.dismiss()


def _at_hand(path: Path, stack: ExitStack) -> Path:
    """The folder of an index, which each worker opens: one is built for as long as it is needed where ``path`` is a list."""
    if is_library(path) or is_shelf(path):
        return path.absolute()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="amparo-known-"))) / "index"
    KnownIndex.build([path], folder)
    return folder


def _done(journal: Journal) -> Done:
    def done(found: Thing | Trouble) -> bool:
        own = (
            isinstance(found, Thing)
            and isinstance(found.place, File)
            and journal.is_own(os.path.realpath(found.place.path))
        )
        return own or journal.has(found.key)

    return done


def _keep(journal: Journal | None, tally: Tally, key: bytes, lines: list[dict[str, Any]]) -> None:
    if journal is not None:
        journal.counts = tally.counts()
        journal.keep(key, lines)


def _lines(thing: Thing, answer: Answer) -> Iterator[tuple[dict[str, Any], Sequence[Hit]]]:
    """What is written of a thing, with its hits: a line; of a group of rows one for each that is known, and one of the group."""
    table = thing.name.rpartition("#")[0]
    for row in answer.known:
        yield {"path": f"{table}#{row.row}", **row.asked, "hits": [row_of(hit) for hit in row.hits]}, row.hits
    line: dict[str, Any] = {"path": thing.name, "size": answer.size}
    if answer.rows is not None:
        line["rows"] = answer.rows
    if answer.md5 is not None:
        line |= {"md5": answer.md5, "sha1": answer.sha1, "sha256": answer.sha256}
    if answer.rows is None:
        line["hits"] = [row_of(hit) for hit in answer.hits]
    yield line | ({"problem": answer.problem} if answer.problem else {}), answer.hits


def _reachable(given: argparse.Namespace) -> bool:
    """Whether workers see the temporary files of this machine."""
    return given.engine in (None, "local")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
