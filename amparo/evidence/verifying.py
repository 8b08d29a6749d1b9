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
from typing import Any

from cryptography import x509

from amparo.errors import PackageWrong
from amparo.evidence import bag, custody, seal, tables
from amparo.evidence.finding import Finding, shown
from amparo.evidence.keys import same_fingerprint

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
        self.digests: dict[str, str] = {}
        self.wrong = 0

    def findings(self) -> Iterator[Finding]:
        self._is_finished()
        tagmanifest = bag.read_small(self.root / bag.TAGMANIFEST, bag.LONGEST_LINE * 8)
        sealed = seal.Seal.read(bag.read_small(self.root / bag.SEAL, seal.LARGEST))
        if not sealed.covers(tagmanifest):
            raise PackageWrong(f"{bag.TAGMANIFEST} is not the one that was sealed: it was changed.")
        yield Finding(True, f"The seal fits {bag.TAGMANIFEST}: made at {sealed.values['sealed_at']}.")
        yield self._key(sealed)
        yield from self._ledger(sealed)
        yield from self._tag_files(tagmanifest)
        yield from self._payload()
        if not self.wrong:
            yield from self._tables(sealed)
        if sealed.token is not None:
            yield seal.check_token(sealed.token, hashlib.sha256(tagmanifest).digest(), self.roots)
        if sealed.values["training"]:
            yield Finding(True, "TRAINING: this package was made for training and can never be filed as evidence.")

    def _is_finished(self) -> None:
        if not self.root.is_dir():
            raise PackageWrong(f"There is no package at {shown(str(self.root))}: give the folder that holds bagit.txt.")
        if not os.path.lexists(self.root / bag.BAGIT):
            raise PackageWrong(
                f"There is no {bag.BAGIT}: this folder is not a package, or its beginning was taken away."
            )
        if not os.path.lexists(self.root / bag.SEAL):
            raise PackageWrong(
                f"There is no seal ({bag.SEAL}): the package was never finished, or its seal was taken away. Finish it with"
                " “amparo search … --resume”."
            )

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
        acts, resealed, head = 0, 0, custody.NOTHING_BEFORE
        so_far = hashlib.sha256()
        before = so_far.hexdigest()

        def lines(file: Any) -> Iterator[bytes]:
            nonlocal acts, head, before
            for line in custody.read_lines(file):
                before = so_far.hexdigest()
                yield line
                acts, head = acts + 1, custody.digest_of(line)
                so_far.update(line)

        with bag.open_plain(self.root / bag.LEDGER) as raw:
            for act in custody.follow(lines(raw)):
                self.begun = self.begun or act
                if act.act == "sealed again":
                    resealed += 1
                    self._earlier_seal(act, before)
        stated = sealed.values["acts"]
        if acts != stated:
            what = "cut off the end" if acts < stated else "added"
            raise PackageWrong(
                f"custody.jsonl holds {acts} acts, the seal states {stated}: {abs(acts - stated)} were {what}."
            )
        if head != sealed.values["head"]:
            raise PackageWrong("custody.jsonl was written anew: its last act is not the one that was sealed.")
        if self.begun is None or self.begun.details.get("training") is not sealed.values["training"]:
            raise PackageWrong("custody.jsonl and seal.json differ on whether the package was made for training.")
        again = f" The package was sealed again {resealed} times; each earlier seal fits." if resealed else ""
        yield Finding(
            True, f"The ledger holds: {acts} acts, each following the one before, as many as were sealed.{again}"
        )

    def _earlier_seal(self, act: custody.Act, ledger: str) -> None:
        """An earlier seal is kept whole in the act that replaced it, and covered the ledger as it was until then."""
        kept = act.details.get("seal"), act.details.get("tagmanifest")
        try:
            if not isinstance(kept[0], dict) or not isinstance(kept[1], str):
                raise PackageWrong("it is not kept")
            tagmanifest = kept[1].encode("utf-8", "replace")
            earlier = seal.Seal.read(custody.canonical(kept[0]) + b"\n")
            if not earlier.covers(tagmanifest) or f"{ledger}  {bag.LEDGER}\n" not in kept[1]:
                raise PackageWrong("it does not fit the acts before it")
        except PackageWrong as error:
            raise PackageWrong(f"custody.jsonl: the earlier seal in line {act.number} is wrong: {error}.") from error

    def _tag_files(self, tagmanifest: bytes) -> Iterator[Finding]:
        listed = {
            entry.path.decode("utf-8", "replace"): entry.digest
            for entry in bag.entries(io.BytesIO(tagmanifest), bag.TAGMANIFEST)
        }
        if set(listed) != set(bag.TAGGED):
            raise PackageWrong(f"{bag.TAGMANIFEST} does not name the four files that a package has.")
        for name, digest in listed.items():
            if not os.path.lexists(self.root / name):
                raise PackageWrong(f"{name} is missing.")
            if bag.digest_of(self.root / name)[0] != digest:
                raise PackageWrong(f"{name} was changed after the package was sealed.")
        if bag.read_small(self.root / bag.BAGIT, 1 << 12) != bag.DECLARATION:
            raise PackageWrong(f"{bag.BAGIT} does not declare a bag of version 1.0.")
        yield Finding(True, "The tag files are those that were sealed.")

    def _payload(self) -> Iterator[Finding]:
        files = 0
        with os.scandir(os.fsencode(self.root)) as listing:
            strange = sorted(entry.name for entry in listing if os.fsdecode(entry.name) not in _ROOT)
        for name in strange:
            yield from self._say(f"{shown(name)} was added: it is no part of the package.")
        if not os.path.lexists(self.root / bag.DATA):
            raise PackageWrong("The folder data is missing.")
        kind = bag.kind_of(os.lstat(self.root / bag.DATA).st_mode)
        if kind != "folder":
            raise PackageWrong(f"data is not a folder but a {kind}.")
        with bag.open_plain(self.root / bag.MANIFEST) as raw:
            listed = bag.entries(raw, bag.MANIFEST)
            there = bag.walk(self.root)
            entry, node = next(listed, None), next(there, None)
            while entry is not None or node is not None:
                if node is None or (entry is not None and entry.path < node.path):
                    assert entry is not None
                    yield from self._say(f"{shown(entry.path)} is missing.")
                    entry = next(listed, None)
                elif entry is None or node.path < entry.path:
                    what = "an empty folder, " if node.kind == "empty" else ""
                    yield from self._say(f"{shown(node.path)}: {what}not in the manifest: it was added.")
                    node = next(there, None)
                else:
                    yield from self._same(entry, node)
                    files += 1
                    entry, node = next(listed, None), next(there, None)
        if self.wrong > MOST_WRONG:
            yield Finding(False, f"{self.wrong - MOST_WRONG} more files are wrong.")
        if not self.wrong:
            yield Finding(True, f"Every byte of the {files} files in data is as it was sealed, and nothing was added.")

    def _same(self, entry: bag.Entry, node: bag.Node) -> Iterator[Finding]:
        if node.kind != "file":
            yield from self._say(f"{shown(node.path)} is not a file but a {node.kind}: it took the file's place.")
            return
        try:
            digest, _ = bag.digest_of(bag.place(self.root, entry.path))
        except OSError as error:
            yield from self._say(f"{shown(entry.path)} cannot be read ({error.strerror or error}).")
            return
        if digest != entry.digest:
            yield from self._say(f"{shown(entry.path)} was changed after the package was sealed.")

    def _say(self, what: str) -> Iterator[Finding]:
        self.wrong += 1
        if self.wrong <= MOST_WRONG:
            yield Finding(False, what)

    def _tables(self, sealed: seal.Seal) -> Iterator[Finding]:
        assert self.begun is not None
        path = self.root / bag.DATA / "evidence.sqlite"
        if not path.exists():
            yield from self._say("data/evidence.sqlite is missing: the package states nothing.")
            return
        try:
            order = _asked(path, self.begun.details.get("order_sha256"))
        except (sqlite3.Error, ValueError, OverflowError) as error:
            yield from self._say(f"data/evidence.sqlite is damaged ({error}).")
            return
        if order:
            yield Finding(True, "The tables can be read, and name the order that the ledger begins with.")
        else:
            yield from self._say("data/evidence.sqlite and custody.jsonl do not name the same order.")


def _asked(path: Path, order: object) -> bool:
    """Whether the tables are whole, and name this order. Raises sqlite3.Error where they are not whole."""
    database = tables.open_read_only(path)
    try:
        until = time.monotonic() + PATIENCE
        database.set_progress_handler(lambda: time.monotonic() > until, 100_000)
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1 << 24)
        database.execute("pragma trusted_schema = off")
        database.execute("pragma cell_size_check = on")
        answer = database.execute("pragma quick_check(1)").fetchone()[0]
        if answer != "ok":
            raise sqlite3.DatabaseError(shown(str(answer)))
        row = database.execute("select value from run where key = 'order_sha256'").fetchone()
        return row is not None and row[0] == order
    finally:
        database.close()
