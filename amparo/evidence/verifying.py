"""Checking a package: the seal, the ledger, the tag files, every byte of what it carries, and that nothing was added.

The package is a stranger's. Nothing in it is followed, believed before the seal vouches for it, or held in memory whole;
a check ends where what follows would have nothing to stand on.
"""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from amparo.errors import PackageWrong
from amparo.evidence import bag, custody, earlier_seals, seal, tables
from amparo.evidence.earlier_seals import SEALED_AGAIN
from amparo.evidence.finding import Finding, shown
from amparo.evidence.keys import same_fingerprint

if TYPE_CHECKING:
    from cryptography import x509

LARGEST_TAG = 1 << 16  # bytes of bagit.txt and bag-info.txt
MOST_WRONG = 50  # files named; the rest are counted
PATIENCE = 600.0  # seconds for the database's own check
_ROOT = {*bag.TAGGED, bag.TAGMANIFEST, bag.SEAL, bag.DATA}


def verify(path: Path, expected_key: str | None = None, roots: Sequence[x509.Certificate] = ()) -> list[Finding]:
    """What is right and what is wrong with the package at ``path``, in the order in which it was checked.

    ``expected_key`` is the fingerprint that the examiner handed over by other means: only with it does the answer say
    whose seal it is. ``roots`` are certificates of time-stamp authorities that are trusted. Never raises for what the
    package holds; nothing is written, and nothing outside the package is read.
    """
    findings: list[Finding] = []
    try:
        for finding in _Check(path, expected_key, roots).findings():
            findings.append(finding)
    except PackageWrong as error:
        findings.append(Finding(False, str(error)))
    except OSError as error:
        name = error.filename if isinstance(error.filename, str | bytes) else str(path)
        findings.append(Finding(False, f"{shown(name)} cannot be read ({error.strerror or error})."))
    except (ValueError, MemoryError, RecursionError) as error:
        findings.append(Finding(False, f"The package cannot be read to its end ({type(error).__name__})."))
    return findings


class _Check:
    """One check of one package, as a row of findings."""

    def __init__(self, path: Path, expected_key: str | None, roots: Sequence[x509.Certificate]) -> None:
        self.root, self.expected_key, self.roots = path, expected_key, roots
        self.begun: custody.Act | None = None
        self.last: custody.Act | None = None
        self.earlier: list[earlier_seals.Earlier] = []
        self.before = earlier_seals.Rebuilding(self.earlier)
        self.unread = self.wrong = 0

    def findings(self) -> Iterator[Finding]:
        self._is_finished()
        tagmanifest = bag.read_small(self.root / bag.TAGMANIFEST, bag.LONGEST_LINE)
        sealed = seal.Seal.read(bag.read_small(self.root / bag.SEAL, seal.LARGEST))
        if not sealed.covers(tagmanifest):
            raise PackageWrong(f"{bag.TAGMANIFEST} is not the one that was sealed: it was changed.")
        yield Finding(True, f"The seal fits {bag.TAGMANIFEST}; it was made at {sealed.values['sealed_at']}.")
        yield self._key(sealed)
        yield from self._ledger(sealed)
        yield from self._tag_files(tagmanifest)
        yield from self._payload()
        if not self.wrong:
            yield self._tables()
        if sealed.token is not None:
            yield seal.check_token(sealed.token, hashlib.sha256(tagmanifest).digest(), self.roots)
        if sealed.values["training"]:
            yield Finding(True, "TRAINING: this package was made for training and can never be filed as evidence.")

    def _is_finished(self) -> None:
        if not self.root.is_dir():
            raise PackageWrong(
                f"There is no package at {shown(str(self.root))}: give the folder that holds {bag.BAGIT}."
            )
        if not os.path.lexists(self.root / bag.BAGIT):
            raise PackageWrong(f"There is no {bag.BAGIT}: this folder is no package, or its beginning was taken away.")
        if os.path.lexists(self.root / bag.SEAL) and os.path.lexists(self.root / (bag.SEAL + bag.PARTIAL)):
            raise PackageWrong("Its sealing was cut short: end it with “amparo report”, or “amparo search … --resume”.")
        if not os.path.lexists(self.root / bag.SEAL):
            raise PackageWrong(
                f"There is no seal ({bag.SEAL}): the package was never finished, or its seal was taken away. Finish it with"
                " “amparo search … --resume”."
            )
        for name in (bag.SEAL, bag.TAGMANIFEST, *bag.TAGGED, bag.DATA):
            if not os.path.lexists(self.root / name):
                raise PackageWrong(f"{name} is missing.")
            kind, right = bag.kind_of(os.lstat(self.root / name).st_mode), "folder" if name == bag.DATA else "file"
            if kind != right:
                raise PackageWrong(f"{name} is not a {right} but a {kind}.")

    def _key(self, sealed: seal.Seal) -> Finding:
        key = sealed.values["fingerprint"]
        if self.expected_key is None:
            return Finding(
                True,
                f"The seal is by the key {key}. A package cannot vouch for its own key: compare this fingerprint with the one"
                " that the examiner handed over.",
            )
        if same_fingerprint(key, self.expected_key):
            return Finding(True, f"The seal is by the key {key}, the one expected.")
        return Finding(
            False, f"The seal is by the key {key}, not by the one expected: somebody else sealed this package."
        )

    def _ledger(self, sealed: seal.Seal) -> Iterator[Finding]:
        acts, head, stated = 0, custody.NOTHING_BEFORE, sealed.values["acts"]
        so_far, before = hashlib.sha256(), ""

        def lines(file: BinaryIO) -> Iterator[bytes]:
            nonlocal acts, head, before
            for line in custody.read_lines(file):
                before = so_far.hexdigest()
                yield line
                acts, head = acts + 1, custody.digest_of(line)
                so_far.update(line)

        with bag.open_plain(self.root / bag.LEDGER) as file:
            for act in custody.follow(lines(file)):
                if act.number > stated:
                    raise PackageWrong(f"custody.jsonl: line {act.number} was added: {stated} acts were sealed.")
                self.begun, self.last = self.begun or act, act
                if act.act == SEALED_AGAIN:
                    if len(self.earlier) == earlier_seals.MOST:
                        raise PackageWrong(
                            f"custody.jsonl: line {act.number} seals oftener than any package is sealed."
                        )
                    self.earlier.append(earlier_seals.read(act, before, sealed.values["training"]))
        if acts < stated:
            raise PackageWrong(f"custody.jsonl was cut: it holds {acts} acts, and {stated} were sealed.")
        if self.begun is None or head != sealed.values["head"]:
            raise PackageWrong("custody.jsonl was written anew: its last act is not the one that was sealed.")
        if self.begun.details.get("training") is not sealed.values["training"]:
            raise PackageWrong("custody.jsonl and seal.json differ on whether the package was made for training.")
        again = ""
        if self.earlier:
            others = sorted({one.fingerprint for one in self.earlier} - {sealed.values["fingerprint"]})
            again = f" It was sealed {len(self.earlier) + 1} times, and each earlier seal fits"
            again += f"; some are by other keys: {', '.join(others)}." if others else ", all by the same key."
        yield Finding(
            True, f"The ledger holds: {acts} acts, each following the one before, as many as were sealed.{again}"
        )

    def _tag_files(self, tagmanifest: bytes) -> Iterator[Finding]:
        assert self.last is not None
        listed = {entry.path.decode(): entry.digest for entry in bag.entries(io.BytesIO(tagmanifest), bag.TAGMANIFEST)}
        if tuple(listed) != bag.TAGGED:
            raise PackageWrong(f"{bag.TAGMANIFEST} does not name the four files that a package has.")
        for name, digest in listed.items():
            if name == bag.MANIFEST:  # read line by line: its length is bounded by nothing but its sense
                same = self._manifest_digest() == digest == self.last.details.get("manifest_sha256")
            elif name == bag.LEDGER:  # its acts were followed to their end above
                same = bag.digest_of(self.root / name)[0] == digest
            else:
                same = hashlib.sha256(bag.read_small(self.root / name, LARGEST_TAG)).hexdigest() == digest
            if not same:
                raise PackageWrong(f"{name} was changed after the package was sealed.")
        if bag.read_small(self.root / bag.BAGIT, LARGEST_TAG) != bag.DECLARATION:
            raise PackageWrong(f"{bag.BAGIT} does not declare a bag of version 1.0.")
        self.before.check()
        yield Finding(True, "The tag files are those that were sealed.")

    def _manifest_digest(self) -> str:
        digest, self.before = hashlib.sha256(), earlier_seals.Rebuilding(self.earlier)
        with bag.open_plain(self.root / bag.MANIFEST) as file:
            for entry in bag.entries(file, bag.MANIFEST):
                if not entry.path.startswith(b"data/"):
                    raise PackageWrong(f"{bag.MANIFEST} names a file outside the folder data: {shown(entry.path)}")
                digest.update(bag.line_of(entry))
                self.before.add(entry)
        return digest.hexdigest()

    def _payload(self) -> Iterator[Finding]:
        assert self.last is not None
        stated = self.last.details.get("bytes")
        self.unread = stated if type(stated) is int else 0
        files = 0
        with os.scandir(os.fsencode(self.root)) as listing:
            strange = sorted(entry.name for entry in listing if os.fsdecode(entry.name) not in _ROOT)
        for name in strange:
            yield from self._say(f"{shown(name)} was added: it is no part of the package.")
        with bag.open_plain(self.root / bag.MANIFEST) as file:
            for entry, node in side_by_side(bag.entries(file, bag.MANIFEST), bag.walk(self.root)):
                if node is None:
                    assert entry is not None
                    yield from self._say(f"{shown(entry.path)} is missing.")
                elif entry is None:
                    what = "an empty folder that" if node.kind == "empty" else f"a {node.kind} that"
                    yield from self._say(f"{shown(node.path)} is {what} was added: the manifest does not name it.")
                elif node.kind != "file":
                    yield from self._say(
                        f"{shown(node.path)} is not a file but a {node.kind}: it took the file's place."
                    )
                else:
                    files += 1
                    yield from self._same(entry)
        if self.wrong > MOST_WRONG:
            yield Finding(False, f"{self.wrong - MOST_WRONG} more files are wrong.")
        if not self.wrong:
            yield Finding(True, f"Every byte of the {files} files in data is as it was sealed, and nothing was added.")

    def _same(self, entry: bag.Entry) -> Iterator[Finding]:
        """Whether one file is as it was. Never more is read than the files not yet read held between them when they were
        sealed: a sparse file of any length, in the place of one, costs nothing."""
        path = bag.place(self.root, entry.path)
        try:
            size = os.lstat(path).st_size
            same = size <= self.unread and bag.digest_of(path)[0] == entry.digest
        except OSError as error:
            yield from self._say(f"{shown(entry.path)} cannot be read ({error.strerror or error}).")
            return
        if size <= self.unread:
            self.unread -= size
        if not same:
            yield from self._say(f"{shown(entry.path)} was changed after the package was sealed.")

    def _say(self, what: str) -> Iterator[Finding]:
        self.wrong += 1
        if self.wrong <= MOST_WRONG:
            yield Finding(False, what)

    def _tables(self) -> Finding:
        assert self.begun is not None
        path = self.root / bag.DATA / "evidence.sqlite"
        if not path.exists():
            return Finding(False, "data/evidence.sqlite is missing: the package states nothing.")
        try:
            same = _names(path, self.begun.details.get("order_sha256"))
        except (sqlite3.Error, ValueError, OverflowError) as error:
            return Finding(False, f"data/evidence.sqlite is damaged ({shown(str(error))}).")
        if not same:
            return Finding(False, "data/evidence.sqlite and custody.jsonl do not name the same order.")
        return Finding(True, "The tables can be read, and name the order that the ledger begins with.")


def side_by_side(
    listed: Iterator[bag.Entry], there: Iterator[bag.Node]
) -> Iterator[tuple[bag.Entry | None, bag.Node | None]]:
    """Two rows in the order of their paths, as pairs; None stands where one of the two lacks a path."""
    entry, node = next(listed, None), next(there, None)
    while entry is not None or node is not None:
        if node is None or (entry is not None and entry.path < node.path):
            yield entry, None
            entry = next(listed, None)
        elif entry is not None and node.kind == "empty" and entry.path.startswith(node.path):
            node = next(there, None)  # a folder all of whose files are missing: they are what is wrong
        elif entry is None or node.path < entry.path:
            yield None, node
            node = next(there, None)
        else:
            yield entry, node
            entry, node = next(listed, None), next(there, None)


def _names(path: Path, order: object) -> bool:
    """Whether the tables are whole, and name this order. Raises sqlite3.Error where they are not whole."""
    database = tables.open_read_only(path)
    try:
        until = time.monotonic() + PATIENCE
        database.set_progress_handler(lambda: time.monotonic() > until, 100_000)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1 << 24)
        answer = database.execute("pragma quick_check(1)").fetchone()[0]
        if answer != "ok":
            raise sqlite3.DatabaseError(shown(str(answer)))
        row = database.execute("select value from run where key = 'order_sha256'").fetchone()
        return row is not None and row[0] == order
    finally:
        database.close()
