"""The index that is asked, and the one that takes its place while requests go on.

An index is opened, made ready, and then put in the other's place in one step; a request goes on with the one that it began with,
which is let go of when the last such request has ended. What cannot be opened is told, and the old one stays.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from amparo.errors import UsedWrongly
from amparo.known.binding import FILMS
from amparo.known.library import CATALOGUE, Library, is_library
from amparo.known.shelf import Shelf

_Stamp = tuple[int, int, int]


class Held:
    """One state of an index. ``name`` is the same for the same lists, and another for others."""

    def __init__(self, folder: Path) -> None:
        library = Library(folder)
        catalogue = (folder / CATALOGUE).read_bytes()
        self.name = hashlib.sha256(catalogue).hexdigest()[:12]
        # A list of known good files is not asked: what it knows is no match.
        self.shelves = tuple(shelf for shelf in library.shelves() if not any(known["good"] for known in shelf.lists))
        for shelf in self.shelves:
            if FILMS in shelf.prints:
                shelf.prints[FILMS].films()  # takes a while the first time
        self._seen_by: dict[tuple[str, ...] | None, tuple[Shelf, ...]] = {None: self.shelves}

    def seen_by(self, lists: tuple[str, ...] | None) -> tuple[Shelf, ...]:
        """What somebody who may see these lists (None: all) is answered from."""
        if lists not in self._seen_by:
            allowed = set(lists or ())
            self._seen_by[lists] = tuple(
                shelf for shelf in self.shelves if all(known["list"] in allowed for known in shelf.lists)
            )
        return self._seen_by[lists]

    @property
    def entries(self) -> int:
        """How many there are, those of known good lists not among them."""
        return sum(shelf.entries for shelf in self.shelves)


class Holding:
    """The index in a folder as it is now. Raises UsedWrongly where there is none, or it is damaged."""

    def __init__(self, folder: Path) -> None:
        if not is_library(folder):
            raise UsedWrongly(f"{folder} is no index that lists can be added to: build one with amparo known import.")
        self._folder = folder
        self._stamp = self._stamped()
        self.now = Held(folder)
        self.problem: str | None = None

    def is_behind(self) -> bool:
        """Whether another index lies there by now."""
        return self._stamped() != self._stamp

    def follow(self) -> bool:
        """Open what lies there by now and put it in place; False where that failed, which ``problem`` then says."""
        stamp = self._stamped()
        try:
            self.now = Held(self._folder)
        except (UsedWrongly, OSError) as why:
            self.problem = str(why) if isinstance(why, UsedWrongly) else f"The index cannot be read: {why.strerror}."
            return False
        self._stamp, self.problem = stamp, None
        return True

    def _stamped(self) -> _Stamp | None:
        try:
            is_ = (self._folder / CATALOGUE).stat()
        except OSError:
            return None
        return is_.st_ino, is_.st_mtime_ns, is_.st_size
