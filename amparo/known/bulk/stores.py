"""From what was typed to a store: what a path is, is told by what is there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from amparo.errors import SourceUnreadable
from amparo.known.bulk.archive import Archive, compression_of
from amparo.known.bulk.bucket import SCHEME, Bucket
from amparo.known.bulk.folder import Folder
from amparo.known.bulk.rows import MAGIC, Table
from amparo.known.bulk.thing import Store


def open_stores(
    paths: Sequence[str], endpoint: str | None = None, tables: bool = True, reachable: bool = True
) -> list[Store]:
    """A store for each path, but none for what lies within another, so that nothing is met twice.

    ``endpoint`` is the server of a bucket, where it is not Amazon's; ``tables`` takes Parquet files for tables of digests;
    ``reachable`` says whether workers see this machine's temporary files. Raises SourceUnreadable where a path cannot be read
    at all, UsedWrongly where it is none.
    """
    stores = [_opened(path, endpoint, tables, reachable) for path in dict.fromkeys(paths)]
    return [
        store
        for at, store in enumerate(stores)
        if not any(_within(store, other, at > before) for before, other in enumerate(stores) if before != at)
    ]


def _within(store: Store, other: Store, later: bool) -> bool:
    if store.whole == other.whole:
        return later
    if isinstance(other, Bucket):
        return isinstance(store, Bucket) and store.whole.startswith(other.whole)
    return isinstance(store, Folder) and store.whole.startswith(other.whole.rstrip(os.sep) + os.sep)


def _opened(text: str, endpoint: str | None, tables: bool, reachable: bool) -> Store:
    if text.startswith(SCHEME):
        return Bucket(text, endpoint)
    path = Path(text)
    if not os.path.lexists(path):
        raise SourceUnreadable(f"There is no {path}: name files or folders that are there.")
    if path.is_file():
        if tables and _is_table(path):
            return Table(path)
        compressed = compression_of(path)
        if compressed is not None:
            return Archive(path, compressed, reachable)
    return Folder(path)


def _is_table(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
