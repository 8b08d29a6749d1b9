"""A finished package, opened for reading: its tables held against its manifest, and what its run says."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from amparo.errors import PackageWrong
from amparo.evidence import bag, tables
from amparo.evidence.seal import LARGEST, Seal
from amparo.known.film_features import QUALITY

TABLES = "data/evidence.sqlite"
TRAINING = "TRAINING"
_ORDER = (  # what the formats take from the order, and every order states
    "measure", "article", "reference", "issued_by", "issued_on", "case_number", "exhibit_number", "exhibit_description",
    "examiner_name", "examiner_agency",
)  # fmt: skip
DEEPEST = 1000  # no archive is opened so deep; a row that were its own parent must not hang an export


class Match(NamedTuple):
    """A row of ``matches``."""

    file_id: int
    list: str
    entry: str | None
    category: str | None
    method: str
    distance: int
    quality: int | None
    contradicted: int  # 1: a stronger digest of the list's entry differs


class Finished:
    """``digest`` is the SHA-256 of the tables in lower hex; ``run`` and ``order`` are what the table ``run`` holds.

    Raises PackageWrong where the folder is no package, was never finished, or its tables are not those that its seal
    covers, by way of the manifests: what is exported from changed tables would carry the change into another tool, where
    no seal shows it.
    """

    def __init__(self, package: Path) -> None:
        evidence, manifest = package / TABLES, package / "manifest-sha256.txt"
        if not evidence.is_file():
            raise PackageWrong(f"{package} is not an evidence package: name the folder that amparo search wrote.")
        if not manifest.is_file() or not (package / bag.SEAL).is_file():
            raise PackageWrong(
                f"The package {package} was never finished: run the search again with --resume, then export it."
            )
        with bag.open_plain(evidence) as file:
            self.digest = hashlib.file_digest(file, "sha256").hexdigest()
        if _stated(manifest) != self.digest or not _is_sealed(package, bag.digest_of(manifest)[0]):
            raise PackageWrong(
                f"The tables of {package} are not those that were sealed: run amparo verify on it, and export from a sound copy."
            )
        self._space = uuid.uuid5(uuid.NAMESPACE_URL, f"urn:sha256:{self.digest}")
        self.database = tables.open_read_only(evidence)
        self._has_fingerprints: bool | None = None
        try:
            self.run: dict[str, str] = dict(self.database.execute("select key, value from run").fetchall())
            self.order: dict[str, Any] = json.loads(self.run["order"])
            self.training = self.order["training"] is True
            for key in _ORDER:
                self.order[key]
        except (sqlite3.Error, KeyError, TypeError, ValueError) as error:
            self.database.close()
            raise PackageWrong(
                f"The tables of {package} are not those of a search: export with the version that wrote them."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.database.close()

    def count(self, what: str) -> int:
        """How many rows ``what`` (tables and conditions, after ``from``) gives."""
        return int(self.database.execute(f"select count(*) from {what}").fetchone()[0])  # noqa: S608  # our own texts

    def volumes(self) -> list[sqlite3.Row]:
        """The volumes, in their order; one that only files name is there too, or its files would be lost."""
        return self.database.execute(
            "select n.id, coalesce(kind, 'unknown') as kind, parent, filesystem, label, offset, size, layers"
            " from (select id from volumes union select distinct volume from files) n left join volumes v on v.id = n.id"
            " order by n.id"
        ).fetchall()

    def matches(self, file_id: int) -> list[Match]:
        """What the lists said of one file."""
        rows = self.database.execute(
            "select file_id, list, entry, category, method, distance, quality, contradicted from matches where file_id = ?"
            " order by list, entry, method",
            (file_id,),
        )
        return [Match(*row) for row in rows]

    def pictures(self, file_id: int) -> list[str]:
        """The PDQ fingerprints (lower hex) of a picture, of each of its frames that says enough; none for a film, and none in a
        package of before there were any."""
        if self._has_fingerprints is None:
            found = self.database.execute("select 1 from sqlite_master where type = 'table' and name = 'fingerprints'")
            self._has_fingerprints = found.fetchone() is not None
        if not self._has_fingerprints:
            return []
        rows = self.database.execute(
            "select pdq from fingerprints where file_id = ? and seconds is null and quality >= ? order by frame",
            (file_id, QUALITY),
        )
        return [pdq for (pdq,) in rows]

    def uuid(self, what: str) -> uuid.UUID:
        """The identifier of ``what`` in this package: the same however often it is exported, and in no other package."""
        return uuid.uuid5(self._space, what)

    def outermost(self, row: sqlite3.Row) -> sqlite3.Row:
        """The file in which a member of an archive lies in the end, itself for any other file (rows of ``files``)."""
        for _ in range(DEEPEST):
            if row["parent"] is None:
                break
            above = self.database.execute("select * from files where id = ?", (row["parent"],)).fetchone()
            if above is None:
                break
            row = above
        return row


def extents(row: sqlite3.Row) -> list[tuple[int, int]] | None:
    """The ``(offset, length)`` in the source of a row of ``files``; None where the content has no address of its own."""
    return None if row["extents"] is None else [(at, length) for at, length in json.loads(row["extents"])]


def _is_sealed(package: Path, manifest: str) -> bool:
    """Whether the seal covers a manifest of this digest."""
    try:
        covered = bag.read_small(package / bag.TAGMANIFEST, bag.LONGEST_LINE)
        sealed = Seal.read(bag.read_small(package / bag.SEAL, LARGEST))
        listed = {entry.path: entry.digest for entry in bag.entries(io.BytesIO(covered), bag.TAGMANIFEST)}
    except (PackageWrong, OSError):
        return False
    return sealed.covers(covered) and listed.get(bag.MANIFEST.encode()) == manifest


def _stated(manifest: Path) -> str | None:
    for line in _lines(manifest):
        digest, _, name = line.partition(" ")
        if name.lstrip(" *").rstrip("\r\n") == TABLES:
            return digest.lower()
    return None


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as text:
        yield from text
