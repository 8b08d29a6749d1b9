"""Files and folders. Links are not followed, and what is no file (a pipe, a device, a socket) is not opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from amparo.errors import SourceUnreadable
from amparo.known.bulk.thing import File, Thing, Trouble


class Folder:
    """One file, or a folder with all that lies below it, in the order in which the system gives it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def whole(self) -> str:
        """The path from the root."""
        return os.path.realpath(self.path)

    def things(self) -> Iterator[Thing | Trouble]:
        """Every ordinary file. A folder that cannot be listed is told; raises SourceUnreadable where it is the first."""
        path = str(self.path)
        try:
            status = self.path.stat()
            if stat.S_ISREG(status.st_mode):
                yield Thing(path, status.st_size, File(os.path.realpath(path)))
                return
            if not stat.S_ISDIR(status.st_mode):
                raise SourceUnreadable(f"{path} is neither a file nor a folder: name one of those.")
            with os.scandir(path):
                pass
        except OSError as error:
            raise SourceUnreadable(f"{path} cannot be opened: {error.strerror}.") from None
        there = os.path.realpath(path)  # workers need not stand where this process stands
        waiting = [there]
        while waiting:
            for found in _listed(waiting.pop(), waiting):
                yield found._replace(name=path + found.name[len(there) :])


def _listed(folder: str, waiting: list[str]) -> Iterator[Thing | Trouble]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield Thing(entry.path, entry.stat(follow_symlinks=False).st_size, File(entry.path))
                except OSError as error:
                    yield Trouble(entry.path, f"It cannot be read: {error.strerror}.")
    except OSError as error:
        yield Trouble(folder, f"The folder cannot be listed: {error.strerror}.")
