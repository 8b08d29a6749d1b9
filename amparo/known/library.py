"""An index of many lists that changes: a list is added, put in another's place, or taken out, while others ask.

A folder with one index for each list (see :mod:`amparo.known.index`), and ``library.json``, which names those that count.
It is written anew for every change, whole or not at all, so whoever opens the folder sees all of the change or nothing of
it, and whoever opened it before goes on with what was there. One process changes it at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amparo.errors import UsedWrongly
from amparo.known.index import KnownIndex, bind, opened
from amparo.known.shelf import Shelf, is_shelf

CATALOGUE = "library.json"
FORMAT, VERSION = "amparo known library", 1
_LOCK = ".lock"
_LARGEST = 1 << 24
_NEW = ".new-"


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one list: ``what`` is ``added``, ``replaced``, ``unchanged`` or ``removed``; ``said`` describes the list as
    :meth:`KnownIndex.described` does."""

    what: str
    said: dict[str, Any]


class Library:
    """The folder of an index that is kept up to date. Raises UsedWrongly where it is something else, or cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, paths: Sequence[Path], replace: bool = False) -> Iterator[Change]:
        """Take these lists, one after another; what was taken stays though a later one cannot be read.

        A list is told by its file's name. One of that name with the very same content is left as it is. Raises UsedWrongly
        where one with other content is there already and ``replace`` is not set, and as reading a list does.
        """
        if not paths:
            raise UsedWrongly("Name at least one list of known material.")
        with self._changing() as catalogue:
            for path in paths:
                yield self._take(path, catalogue, replace)

    def remove(self, name: str) -> Change:
        """Take out the list of this name. Raises UsedWrongly where there is none."""
        with self._changing() as catalogue:
            found = next((known for known in catalogue if known["list"] == name), None)
            if found is None:
                there = ", ".join(known["list"] for known in catalogue) or "none"
                raise UsedWrongly(f"There is no list {name} in {self.folder}; those in it: {there}.")
            catalogue.remove(found)
            self._write(catalogue)
            said = _described(opened(self.folder / found["shelf"]))
            shutil.rmtree(self.folder / found["shelf"], ignore_errors=True)
            return Change("removed", said)

    def shelves(self) -> list[Shelf]:
        """Every list's index, opened, in the order in which the lists came."""
        for _ in range(3):  # a list may be taken out between the catalogue and its shelf
            before = _catalogue(self.folder)
            try:
                return [opened(self.folder / known["shelf"]) for known in before]
            except UsedWrongly:
                if _catalogue(self.folder) == before:
                    raise
        raise UsedWrongly(f"The index {self.folder} changes too fast to be opened: try again.")

    def open(self) -> KnownIndex:
        """All lists as one index, in milliseconds."""
        return KnownIndex(self.shelves())

    def _take(self, path: Path, catalogue: list[dict[str, str]], replace: bool) -> Change:
        before = next((known for known in catalogue if known["list"] == path.name), None)
        new = Path(tempfile.mkdtemp(prefix=_NEW, dir=self.folder))
        try:
            bind([path], new)
            said = _described(opened(new))
            if before is not None and before["sha256"] == said["sha256"]:
                return Change("unchanged", said)
            if before is not None and not replace:
                raise UsedWrongly(
                    f"A list named {path.name} is in {self.folder} already, with other content: give --replace to put this one in its"
                    " place, or rename the file."
                )
            new.chmod(0o755)
            shelf = self._free_name(catalogue)
            new.rename(self.folder / shelf)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        entry = {"list": path.name, "sha256": said["sha256"], "shelf": shelf}
        if before is None:
            catalogue.append(entry)
        else:
            catalogue[catalogue.index(before)] = entry
        self._write(catalogue)
        if before is not None:
            shutil.rmtree(self.folder / before["shelf"], ignore_errors=True)
        return Change("added" if before is None else "replaced", said)

    def _free_name(self, catalogue: list[dict[str, str]]) -> str:
        taken = {known["shelf"] for known in catalogue} | {path.name for path in self.folder.iterdir()}
        return next(name for number in range(1, 1 << 30) if (name := f"{number:06d}") not in taken)

    def _write(self, catalogue: list[dict[str, str]]) -> None:
        text = json.dumps({"format": FORMAT, "version": VERSION, "lists": catalogue}, ensure_ascii=False, indent=1)
        partial = self.folder / f"{CATALOGUE}.part"
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(self.folder / CATALOGUE)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[list[dict[str, str]]]:
        """The catalogue, while nobody else may change it."""
        folder = self.folder
        if folder.exists() and not is_library(folder) and not (folder.is_dir() and not any(folder.iterdir())):
            raise UsedWrongly(
                f"{folder} is there already and is not an index that lists can be added to: choose another folder."
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / _LOCK).open("w")
        except OSError as error:
            raise UsedWrongly(
                f"An index cannot be written in {folder} ({error.strerror}): choose another folder."
            ) from None
        with lock:
            _hold(lock.fileno(), folder)
            if not (folder / CATALOGUE).exists():
                self._write([])
            catalogue = _catalogue(folder)
            self._sweep(catalogue)
            yield catalogue

    def _sweep(self, catalogue: list[dict[str, str]]) -> None:
        """What a change that was cut short has left."""
        kept = {known["shelf"] for known in catalogue}
        for path in self.folder.iterdir():
            if path.is_dir() and path.name not in kept and (path.name.startswith(_NEW) or is_shelf(path)):
                shutil.rmtree(path, ignore_errors=True)


def is_library(folder: Path) -> bool:
    """Whether the folder looks like a library, sound or not."""
    return folder.is_dir() and ((folder / CATALOGUE).is_file() or {path.name for path in folder.iterdir()} == {_LOCK})


def _hold(descriptor: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not on this system: whoever changes an index there must see to it alone
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UsedWrongly(f"Another command changes the index {folder} just now: wait until it has ended.") from None


def _described(shelf: Shelf) -> dict[str, Any]:
    return KnownIndex([shelf]).described()[0]


def _catalogue(folder: Path) -> list[dict[str, str]]:
    path = folder / CATALOGUE
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError
        read = json.loads(path.read_bytes())
        if read["format"] != FORMAT:
            raise ValueError
        if read["version"] != VERSION:
            raise UsedWrongly(f"The index {folder} was built by another version or machine: build it again here.")
        lists = [{key: str(known[key]) for key in ("list", "sha256", "shelf")} for known in read["lists"]]
        if any(not known["shelf"].isalnum() for known in lists):  # nothing outside the folder is ever opened or deleted
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UsedWrongly(
            f"The index {folder} is damaged, its catalogue cannot be read: build it again from its lists."
        ) from None
    return lists
