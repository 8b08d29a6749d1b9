"""Which lists know a file: by its exact digests, by the fingerprint of a picture, by those of a film's frames.

A hit names a list's entry and the strongest of its digests that agrees, SHA-256 before SHA-1 before MD5. Where an entry
claims a stronger digest that the file has too, and the two differ, the contents differ: somebody may have made a
collision. From a list of known material such a hit is given all the same, with the weaker method and ``contradicted``
set, so that a person looks. A list of known good files gives a hit only where every digest that both have agrees, or a
forged file could hide behind an ordinary one. Fingerprints say that two pictures look alike, never that they are one file:
such a hit has its distance, in bits of 256, and no list makes a file ordinary by it.

On disk an index is a folder: ``header.json`` (lists, categories, the size and SHA-256 of every other file), for each kind
of digest a table (see :mod:`amparo.known.table`), for fingerprints what :mod:`amparo.known.nearest` needs, and for each
entry what it says. A list may repeat a digest: its first
hundred entries with it are kept.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from amparo.errors import UsedWrongly
from amparo.known.binding import Binder
from amparo.known.film_features import Frame, distinct
from amparo.known.hits import Hit, by_digests, by_film, by_pictures, said_once
from amparo.known.lists import read_list
from amparo.known.lists.claim import KINDS, WIDTHS
from amparo.known.lists.claim import PDQ as PRINT
from amparo.known.shelf import Shelf, is_shelf
from amparo.known.table import Damaged

RADIUS = 31  # bits of 256: what PDQ's authors call the same picture
_KIND_OF_WIDTH = {width: kind for kind, width in WIDTHS.items()}


class KnownIndex:
    """Lists of digests, ready to be asked. Look-ups raise UsedWrongly where the files of the index are damaged.

    It may be used by several threads; other processes open it anew.
    """

    def __init__(self, shelves: Sequence[Shelf]) -> None:
        self._shelves = list(shelves)

    @classmethod
    def build(cls, paths: Sequence[Path], into: Path | None = None) -> KnownIndex:
        """An index of the lists at ``paths``, kept in the folder ``into``, or for as long as it is used where that is None.

        Without ``into``, a path may also be an index built before: it is opened, not built again. With it, an index that
        is already there is replaced once the new one is whole. Memory does not grow with the lists, apart from their
        categories' names. Raises UsedWrongly where a list cannot be read, or ``into`` is something else than an index.
        """
        if not paths:
            raise UsedWrongly("Name at least one list of known material.")
        if into is None:
            from amparo.known.library import Library, is_library

            shelves = [opened(path) for path in paths if is_shelf(path)]
            shelves += [shelf for path in paths if is_library(path) for shelf in Library(path).shelves()]
            lists = [path for path in paths if not is_shelf(path) and not is_library(path)]
            if lists:
                folder = _scratch(Path(tempfile.gettempdir()), "amparo-known-")
                try:
                    bind(lists, folder)
                    shelf = opened(folder)
                    weakref.finalize(shelf, _remove, folder, os.getpid())
                except BaseException:
                    shutil.rmtree(folder, ignore_errors=True)
                    raise
                shelves.append(shelf)
            return cls(shelves)
        for path in paths:
            if is_shelf(path):
                raise UsedWrongly(f"{path} is an index already: name the lists that it was built from.")
        with _new_folder(into) as folder:
            bind(paths, folder)
        return cls.open(into)

    @classmethod
    def open(cls, folder: Path) -> KnownIndex:
        """The index in a folder, in milliseconds. Raises UsedWrongly where it is none, is damaged, or of another version."""
        return cls([opened(folder)])

    def save(self, folder: Path) -> None:
        """Keep the index in ``folder``, replacing an index that is there. Raises UsedWrongly where it is something else."""
        if len(self._shelves) != 1:
            raise UsedWrongly("This index stands on several: build one from all their lists.")
        with _new_folder(folder) as new, _telling(self._shelves[0]):
            for path in self._shelves[0].folder.iterdir():
                shutil.copyfile(path, new / path.name)

    def verify(self) -> None:
        """Read every byte of the index. Raises UsedWrongly naming the first file that is not as it was built."""
        for shelf in self._shelves:
            with _telling(shelf):
                shelf.verify()

    def described(self) -> list[dict[str, Any]]:
        """For each list: ``list``, ``format``, ``good``, ``sha256`` and ``size`` of its file, and how many of its ``entries``
        were taken, ``skipped`` (``reasons`` has the first ten) or ``empty``."""
        hidden = ("first", "texts")
        return [
            {key: value for key, value in known.items() if key not in hidden}
            for shelf in self._shelves
            for known in shelf.lists
        ]

    def __len__(self) -> int:
        """How many entries there are."""
        return sum(shelf.entries for shelf in self._shelves)

    def lookup(self, md5: bytes | None = None, sha1: bytes | None = None, sha256: bytes | None = None) -> list[Hit]:
        """What the lists say of a file with these digests (raw bytes; None or empty where not known), in the lists' order.

        One hit for each entry of each list, by the strongest digest that agrees.
        """
        asked = {kind: value for kind, value in zip(KINDS, (md5, sha1, sha256), strict=True) if value}
        for kind, value in asked.items():
            if len(value) != WIDTHS[kind]:
                raise UsedWrongly(f"A digest {kind} has {WIDTHS[kind]} bytes, not {len(value)}.")
        hits: list[Hit] = []
        for shelf in self._shelves:
            with _telling(shelf):
                hits += by_digests(shelf, asked)
        return hits

    def lookup_many(self, digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """The place of each digest, -1 where no list knows it. ``digests`` is (n, 16) MD5, (n, 20) SHA-1 or (n, 32) SHA-256.

        The answer is (n,). It tells the few that are known from the many that are not, millions a second; ask :meth:`lookup`
        what the lists say of those few.
        """
        kind = _KIND_OF_WIDTH.get(digests.shape[1] if digests.ndim == 2 else 0)
        if kind is None:
            raise UsedWrongly("Digests are looked up as an array with 16, 20 or 32 columns.")
        found = np.full(len(digests), -1, np.int64)
        before = 0
        for shelf in self._shelves:
            with _telling(shelf):
                places = shelf.tables[kind].find_many(digests)
                found = np.where((found < 0) & (places >= 0), places + before, found)
            before += shelf.tables[kind].rows
        return found

    def look_alikes(self, pictures: Sequence[Sequence[bytes]], radius: int = RADIUS) -> list[list[Hit]]:
        """For each picture the entries whose fingerprint is at most ``radius`` bits away, the nearest first.

        A picture is given by one or more fingerprints of 32 bytes: the eight that it has when turned and mirrored find it
        turned and mirrored; the nearest of them counts.
        """
        prints = np.frombuffer(b"".join(form for forms in pictures for form in forms), np.uint8).reshape(-1, PRINT)
        of = np.repeat(np.arange(len(pictures)), [len(forms) for forms in pictures])
        found: list[list[Hit]] = [[] for _ in pictures]
        for shelf in self._shelves:
            with _telling(shelf):
                for picture, hits in by_pictures(shelf, prints, of, radius).items():
                    found[picture] += hits
        return [said_once(hits) for hits in found]

    def films_alike(self, frames: Sequence[Frame], radius: int = RADIUS) -> list[Hit]:
        """The entries with a film of which four fifths of the frames are in this one, or this one's in it; most first.

        ``frames`` are as :func:`amparo.known.film.fingerprint` gives them.
        """
        asked = distinct(frames)
        if not asked:
            return []
        prints = np.frombuffer(b"".join(frame.bits for frame in asked), np.uint8).reshape(-1, PRINT)
        found: list[Hit] = []
        for shelf in self._shelves:
            with _telling(shelf):
                found += by_film(shelf, prints, radius)
        return sorted(found, key=lambda hit: hit.share or (0, 0), reverse=True)

    @property
    def has_fingerprints(self) -> bool:
        """Whether any list gives fingerprints of pictures or films."""
        return any(shelf.prints for shelf in self._shelves)


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child must not take the index away from its parent
        shutil.rmtree(folder, ignore_errors=True)


def opened(folder: Path) -> Shelf:
    """The index of lists in a folder. Raises UsedWrongly where it is none, or damaged."""
    try:
        return Shelf(folder)
    except Damaged as why:
        raise UsedWrongly(f"The index {folder} is damaged, {why}: build it again from its lists.") from None


@contextlib.contextmanager
def _telling(shelf: Shelf) -> Iterator[None]:
    try:
        yield
    except Damaged as why:
        raise UsedWrongly(f"The index {shelf.folder} is damaged, {why}: build it again from its lists.") from None
    except OSError as error:
        raise UsedWrongly(f"The index {shelf.folder} cannot be read or copied: {error.strerror}.") from None


def bind(paths: Sequence[Path], folder: Path) -> None:
    """Write the index of these lists into an empty folder. Raises UsedWrongly."""
    binder = Binder(folder)
    try:
        for path in paths:
            binder.add(read_list(path))
        binder.finish()
    except OSError as error:
        raise UsedWrongly(f"The index cannot be written ({error.strerror}): make room at {folder.parent}.") from None
    finally:
        binder.close()


def _scratch(where: Path, prefix: str) -> Path:
    try:
        where.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=prefix, dir=where))
    except OSError as error:
        raise UsedWrongly(f"An index cannot be written in {where} ({error.strerror}): choose another folder.") from None


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` that takes its place once the work is done, and is gone where it is not."""
    folder = folder.absolute()
    if folder.exists() and not is_shelf(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsedWrongly(f"{folder} is there already and is not an index: choose another folder.")
    new = _scratch(folder.parent, f".{folder.name}.")
    try:
        yield new
        new.chmod(0o755)
        if folder.exists():
            old = _scratch(folder.parent, f".{folder.name}.")
            folder.rename(old / "old")
            new.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
