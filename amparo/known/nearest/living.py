"""An index of fingerprints that grows while it is asked: a base, a tail that is looked at row by row, and rows that are gone.

The folder holds ``current.json``, which names the base (a folder) and the tail (a file) of its generation and takes another
generation's place in one step; nothing that it names is ever changed, but for the tail, which is added to
(:mod:`amparo.known.nearest.tail`). A process that dies at any point, in an addition or in a merge, leaves the index as it
was last confirmed. One process at a time writes and one merges, which locks see to; any number read, and see an addition as
soon as it is confirmed. A question is answered by the generation that it began with, though another takes its place.

A row's number is given when it is added and is never given again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from amparo.errors import UsedWrongly
from amparo.known.nearest.bands import BITS
from amparo.known.nearest.base import RADIUS, Fingerprints, Hits
from amparo.known.nearest.generation import (
    CURRENT,
    Generation,
    among,
    base_of,
    begin_tail,
    clear,
    hashes_of,
    kept,
    make_current,
    open_generation,
    read_current,
    read_on,
    stamp_of,
    stamp_of_tail,
    tail_of,
    write_generation,
)
from amparo.known.nearest.tail import ADDED, MOST, REMOVED, batch
from amparo.known.table import Damaged

FEWEST_TO_MERGE: Final = 1 << 16  # rows in the tail, which cost a question some ten microseconds to look at
SHARE_TO_MERGE: Final = 1 / 16  # of the base


class Living:
    """A living index in ``folder``. It may be used by several threads."""

    def __init__(self, folder: Path) -> None:
        """Opens it. Raises UsedWrongly where there is none, Damaged where its files do not hold together."""
        self.folder = folder
        self._refreshing = threading.Lock()
        self._writing = threading.Lock()
        self._state = self._opened()

    @classmethod
    def create(cls, folder: Path) -> Living:
        """A new, empty index in ``folder``, or the one that is there. Raises OSError as writing does."""
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder, "writing"):
            if not (folder / CURRENT).exists():
                write_generation(folder, 1, iter(()), None, 0)
                begin_tail(folder, 1, b"")
                make_current(folder, 1, following=0)
        return cls(folder)

    def __len__(self) -> int:
        """How many rows there are, those that are gone not among them."""
        state = self._refreshed()
        return len(state.base) + len(state.tail_numbers) - len(state.gone)

    @property
    def tail_rows(self) -> int:
        """How many rows, added or gone, wait for a merge."""
        state = self._refreshed()
        return len(state.tail_numbers) + len(state.gone)

    @property
    def merge_is_due(self) -> bool:
        """Whether a merge would make questions noticeably quicker."""
        state = self._refreshed()
        return len(state.tail_numbers) + len(state.gone) > max(FEWEST_TO_MERGE, SHARE_TO_MERGE * len(state.base))

    def within(self, queries: Fingerprints, radius: int = RADIUS, threads: int = 1, most: int | None = None) -> Hits:
        """As :meth:`Nearest.within`; ``row`` is a row's number."""
        state = self._refreshed()
        asked_for = None if most is None else most + len(state.gone)
        base = state.base.within(queries, radius, threads, asked_for)
        if state.numbers is not None:
            base = base._replace(row=state.numbers[base.row])
        tail = state.tail.within(queries, radius, threads, asked_for)
        tail = tail._replace(row=state.tail_numbers[tail.row])
        if not len(tail.row) and (not len(state.gone) or not len(base.row)):
            return base
        hits = Hits.together([base, tail])
        hits = hits.at(np.flatnonzero(~among(hits.row, state.gone)))
        hits = hits.at(np.lexsort((hits.row, hits.distance, hits.query)))
        if most is None:
            return hits
        firsts = np.searchsorted(hits.query, hits.query)  # where the hits of each one's query begin
        return hits.at(np.flatnonzero(np.arange(len(firsts)) - firsts < most))

    def append(self, hashes: Fingerprints) -> range:
        """Add rows and give their numbers, once they are safe on the disk. ``hashes`` is (n, 32)."""
        if hashes.ndim != 2 or hashes.shape[1] != BITS // 8 or hashes.dtype != np.uint8:
            raise UsedWrongly("Fingerprints are given as an array of bytes with 32 columns.")
        with self._writer() as state:
            first = state.following
            pieces = [hashes[at : at + MOST] for at in range(0, len(hashes), MOST)]
            self._add(
                state,
                [batch(ADDED, len(piece), first + at * MOST, piece.tobytes()) for at, piece in enumerate(pieces)],
            )
        return range(first, first + len(hashes))

    def remove(self, rows: Sequence[int]) -> None:
        """Take rows away by their numbers, once that is safe on the disk; those that are gone stay gone."""
        numbers = np.unique(np.asarray(rows, np.int64))
        with self._writer() as state:
            if len(numbers) and not 0 <= numbers[0] <= numbers[-1] < state.following:
                raise UsedWrongly("A fingerprint to take away was never added: check the numbers of the rows.")
            pieces = [numbers[at : at + MOST] for at in range(0, len(numbers), MOST)]
            self._add(state, [batch(REMOVED, len(piece), 0, piece.astype("<i8").tobytes()) for piece in pieces])

    def merge(self) -> bool:
        """Build a new base of all rows that are not gone, and put it in the old one's place.

        Others read and write meanwhile. False where another merge is at work already. Memory as :meth:`Nearest.build`.
        """
        with _locked(self.folder, "merging", wait=False) as mine:
            if not mine:
                return False
            state = self._refreshed()
            generation = state.number + 1
            clear(self.folder, state.number)
            numbers = kept(state)
            write_generation(self.folder, generation, hashes_of(state, numbers), numbers, len(numbers))
            with self._writer() as now:
                with tail_of(self.folder, now.number).open("rb") as stream:
                    stream.seek(state.end)
                    begin_tail(self.folder, generation, stream.read(now.end - state.end))
                make_current(self.folder, generation, following=state.following)
            self._refreshed()
            clear(self.folder, generation)
        return True

    def merge_in_background(self) -> threading.Thread | None:
        """Begin a merge in a thread, where one is due; the thread."""
        if not self.merge_is_due:
            return None
        thread = threading.Thread(target=self.merge, name="merge", daemon=True)
        thread.start()
        return thread

    def verify(self) -> None:
        """Read every byte of the base and hold it against what was written. Raises Damaged naming the file that changed."""
        generation = self._refreshed().number
        for name, said in read_current(self.folder)["files"].items():
            with (base_of(self.folder, generation) / name).open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != said["sha256"]:
                    raise Damaged(f"{name} was changed since it was written")

    def _refreshed(self) -> Generation:
        state = self._state
        if not self._is_behind(state):
            return state
        with self._refreshing:
            if self._is_behind(self._state):
                same = stamp_of(self.folder) == self._state.stamp
                try:
                    self._state = read_on(self.folder, self._state) if same else self._opened()
                except FileNotFoundError:  # a merge took its place in this moment
                    self._state = self._opened()
            return self._state

    def _is_behind(self, state: Generation) -> bool:
        try:
            return (stamp_of(self.folder), stamp_of_tail(self.folder, state.number)) != (
                state.stamp,
                state.seen,
            )
        except FileNotFoundError:
            return True

    def _opened(self) -> Generation:
        for _ in range(100):
            stamp, current = stamp_of(self.folder), read_current(self.folder)
            try:
                return open_generation(self.folder, current, stamp)
            except (Damaged, OSError):
                if stamp_of(self.folder) == stamp:
                    raise
        raise Damaged("its generations change faster than they can be opened")

    @contextmanager
    def _writer(self) -> Iterator[Generation]:
        with self._writing, _locked(self.folder, "writing"):
            state = self._refreshed()
            yield read_on(self.folder, state)  # whatever the times say: what lies behind its end is cut off
        self._refreshed()

    def _add(self, state: Generation, pieces: list[bytes]) -> None:
        with tail_of(self.folder, state.number).open("r+b", buffering=0) as stream:
            stream.truncate(state.end)  # what a writer that died left half written
            stream.seek(state.end)
            for piece in pieces:
                left = memoryview(piece)
                while left:
                    left = left[stream.write(left) :]
                os.fsync(stream.fileno())


@contextmanager
def _locked(folder: Path, name: str, wait: bool = True) -> Iterator[bool]:
    """Alone among all processes; False where another has the lock and it is not to be waited for."""
    with (folder / f"{name}.lock").open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
