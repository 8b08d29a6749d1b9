"""Stores made on the spot: generated pictures in folders and archives, and a list that knows some of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from amparo.crew import Crew
from amparo.known.bulk.run import examined
from amparo.known.bulk.stores import open_stores
from amparo.known.bulk.thing import Thing, Trouble
from amparo.known.bulk.worker import Answer, Asking, prepare
from amparo.known.index import KnownIndex
from amparo.known.picture import fingerprints
from tests.known.picture_specimens import saved, scene


def picture(seed: int, kind: str = "JPEG", width: int = 200, height: int = 160) -> bytes:
    return saved(scene(seed, width, height), kind)


def pdq_of(data: bytes) -> str:
    return fingerprints(data)[0].fingerprint.bits.hex()


def known_list(folder: Path, looks: Sequence[bytes] = (), exact: Sequence[bytes] = ()) -> Path:
    """A list with the fingerprints of some contents and the digests of others; entries are numbered from 0."""
    rows = ["pdq,sha256,category,entry"]
    rows += [f"{pdq_of(data)},,1,looks{n}" for n, data in enumerate(looks)]
    rows += [f",{hashlib.sha256(data).hexdigest()},2,exact{n}" for n, data in enumerate(exact)]
    path = folder / "list.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def index_of(folder: Path, looks: Sequence[bytes] = (), exact: Sequence[bytes] = ()) -> Path:
    KnownIndex.build([known_list(folder, looks, exact)], folder / "index")
    return folder / "index"


def tar_of(members: Iterable[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, errors="surrogateescape") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, 1)


def match(
    paths: Iterable[object], index: Path | None, workers: int = 2, endpoint: str | None = None
) -> tuple[dict[str, Answer], list[Trouble]]:
    """Everything that comes of these stores, by name; each name once."""
    crew = Crew(workers, prepare, Asking(index))
    answers: dict[str, Answer] = {}
    troubles = []
    try:
        for found in examined(open_stores([str(path) for path in paths], endpoint), crew):
            if isinstance(found, Trouble):
                troubles.append(found)
                continue
            thing, answer = found
            assert thing.name not in answers, "examined twice"
            answers[thing.name] = answer
    finally:
        crew.dismiss()
    return answers, troubles


def listed(path: object, endpoint: str | None = None) -> tuple[list[Thing], list[Trouble]]:
    """What the store at a path gives, unexamined."""
    (store,) = open_stores([str(path)], endpoint)
    found = list(store.things())
    return [f for f in found if isinstance(f, Thing)], [f for f in found if isinstance(f, Trouble)]


def content(thing: Thing) -> bytes:
    with thing.place.open() as stream:
        return stream.read()


def lines(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_bytes().splitlines()]
