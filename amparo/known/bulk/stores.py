"""From what was typed to a store: what a PATH is, is told by what is there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from amparo.errors import SourceUnreadable, UsedWrongly
from amparo.known.bulk.folder import Folder
from amparo.known.bulk.thing import Store

BUCKET = "s3://"


def open_stores(paths: Sequence[Path | str]) -> list[Store]:
    """A store for each path, but none for what lies within another, so that nothing is met twice.

    Raises SourceUnreadable where a path cannot be read at all.
    """
    stores: list[Store] = []
    for path in dict.fromkeys(str(path) for path in paths):
        stores.append(_opened(path))
    return [store for at, store in enumerate(stores) if not any(
        _within(store.whole, other.whole, at > before) for before, other in enumerate(stores) if before != at
    )]  # fmt: skip


def _within(path: str, other: str, later: bool) -> bool:
    if path == other:
        return later
    return path.startswith(other.rstrip(os.sep) + os.sep)


def _opened(path: str) -> Store:
    if path.startswith(BUCKET):
        raise UsedWrongly("Buckets are not read yet.")
    if not os.path.lexists(path):
        raise SourceUnreadable(f"There is no {path}: name files or folders that are there.")
    return Folder(Path(path))
