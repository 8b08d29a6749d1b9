"""The package that is handed over: a BagIt bag with its ledger and seal. Begun, resumed, finished, and sealed again.

Until ``seal.json`` is in its place, which happens last, a package is unfinished and can be resumed, whatever stopped it.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import amparo
from amparo.errors import PackageWrong, UsedWrongly
from amparo.evidence import bag, custody
from amparo.evidence.bag import DATA, LEDGER, MANIFEST, PARTIAL, REPORTS, TAGGED, TAGMANIFEST, settle
from amparo.evidence.custody import Ledger
from amparo.evidence.duplicate import check_receipt, duplicate
from amparo.evidence.earlier_seals import SEALED_AGAIN
from amparo.evidence.finding import Finding, shown
from amparo.evidence.keys import same_fingerprint
from amparo.evidence.seal import LARGEST, Seal, fingerprint
from amparo.evidence.verifying import verify

__all__ = [
    "Finding",
    "PackageWriter",
    "Stamp",
    "check_receipt",
    "check_sealer",
    "duplicate",
    "reseal",
    "settle",
    "verify",
]

Measured = tuple[bag.Entry, int]  # a payload file and its size in bytes
Stamp = Callable[[bytes], bytes]  # from a SHA-256 (32 bytes) to an RFC 3161 token over it (DER)


class PackageWriter:
    """A package that is being written. ``data`` is its payload folder, ``ledger`` its chain of custody.

    Made by :meth:`begin`, sealed by :meth:`finish`; one process at a time.
    """

    def __init__(self, root: Path, by: str) -> None:
        self.root, self.by = root, by
        self.data = root / DATA
        self._lock = _locked(root)
        self.ledger = Ledger(root / LEDGER)  # under the lock: opening it takes away a line that was cut short

    @classmethod
    def begin(
        cls, out: Path, order: dict[str, Any], now: datetime, by: str, training: bool, resume: bool
    ) -> PackageWriter:
        """Make the package at ``out``, or with ``resume`` go on with the one that lies there.

        ``order`` is :meth:`amparo.evidence.order.Order.as_dict`'s. A run that was stopped before its first act has left
        nothing to resume, and begins. Raises UsedWrongly where ``out`` holds something else, is sealed, was begun under
        another order, or is being written by another run; PackageWrong where its ledger was changed; OSError.
        """
        if out.exists() and not out.is_dir():
            raise UsedWrongly(f"{out} is not a folder: choose another --out.")
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_place(out, resume)
        if not (out / bag.BAGIT).exists():
            (out / bag.BAGIT).write_bytes(bag.DECLARATION)  # the lock is held on it
        writer = cls(out, by)
        digest = order.get("sha256") or hashlib.sha256(custody.canonical(order)).hexdigest()
        if writer.ledger.first is None:
            writer._begin(order, digest, now, training)
        else:
            writer._resume(digest, now, training)
        return writer

    def _begin(self, order: dict[str, Any], digest: str, now: datetime, training: bool) -> None:
        self.data.mkdir(mode=0o700, exist_ok=True)
        with suppress(OSError):
            bag.sync_folder(self.root.parent)
        self.ledger.add(
            "begun", self.by, now, order=order, order_sha256=digest, training=training, version=amparo.__version__
        )

    def _resume(self, digest: str, now: datetime, training: bool) -> None:
        assert self.ledger.first is not None
        begun = self.ledger.first.details
        if begun.get("order_sha256") != digest or begun.get("training") is not training:
            reference = self.ledger.first.order.get("reference")
            raise UsedWrongly(
                f"This package was begun under another order{f' ({shown(str(reference))})' if reference else ''}: resume it with"
                " that one, or choose another --out."
            )
        settle(self.root)
        if (self.root / bag.SEAL).exists():
            raise _finished(self.root)
        self.data.mkdir(mode=0o700, exist_ok=True)
        for leftover in (self.data / "gathered").glob(f"*{PARTIAL}"):
            leftover.unlink()  # a content that was being encrypted when the run was stopped
        self.ledger.add("resumed", self.by, now, version=amparo.__version__, line_cut_short=self.ledger.cut)

    def finish(self, key: Ed25519PrivateKey, now: datetime, timestamp: Stamp | None = None) -> None:
        """Seal the package: manifest, last act, tag manifest, signature, and a time-stamp where ``timestamp`` is given.

        Raises UsedWrongly where something lies in the package that is no part of it, OSError where it cannot be written,
        and what ``timestamp`` raises; the package is then unfinished, as before.
        """
        for folder in sorted(
            (path for path in self.data.rglob("*") if path.is_dir() and not path.is_symlink()), reverse=True
        ):
            with suppress(OSError):
                folder.rmdir()  # a bag cannot carry an empty folder
        _seal(self.root, self.ledger, key, now, self.by, "sealed", {}, _measured(self.root), {}, timestamp)
        self.close()

    def close(self) -> None:
        """Let another run go on with the package."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def check_sealer(package: Path, key: Ed25519PrivateKey, expected_key: str | None = None) -> None:
    """Raises UsedWrongly where the package was sealed, or its sealing was begun, by another key than ``key`` and the one
    whose fingerprint is ``expected_key``: who seals a stranger's package again would vouch for what the stranger wrote.
    PackageWrong where a seal cannot be read, OSError."""
    for name in (bag.SEAL, bag.SEAL + PARTIAL):
        if not os.path.lexists(package / name):
            continue
        sealer = Seal.read(bag.read_small(package / name, LARGEST)).values["fingerprint"]
        if sealer != fingerprint(key.public_key()) and not same_fingerprint(sealer, expected_key or ""):
            raise UsedWrongly(
                f"This package was sealed by the key {sealer}, which is not yours: where that is the one its examiner handed"
                " over, give it with --fingerprint; else leave the package as it is."
            )


def reseal(
    package: Path,
    key: Ed25519PrivateKey,
    now: datetime,
    why: str,
    by: str,
    files: Mapping[str, Path] | None = None,
    timestamp: Stamp | None = None,
    expected_key: str | None = None,
) -> None:
    """Put new reports into a sealed package and seal it again; the earlier seal is kept in the ledger.

    The seal that is there must be by ``key``, or by the one whose fingerprint is ``expected_key``.

    ``files`` gives, for names of :data:`amparo.evidence.bag.REPORTS`, the file whose content takes that place: nothing
    else of a sealed package can ever be replaced. Raises PackageWrong where the package does not hold as it is,
    UsedWrongly for another name, OSError where it cannot be written; then it is as it was.
    """
    files = files or {}
    if strange := sorted(set(files) - set(REPORTS)):
        raise UsedWrongly(f"Only the report of a sealed package can be written again, not {strange[0]}.")
    lock = _locked(package, for_children=True) if (package / bag.BAGIT).is_file() else None
    try:
        check_sealer(package, key, expected_key)
        settle(package)
        wrong = next((finding for finding in verify(package) if not finding.ok), None)
        if wrong is not None:
            raise PackageWrong(f"A package that does not hold is not sealed again: {wrong.what}")
        with bag.open_plain(package / MANIFEST) as manifest:
            listed = list(bag.entries(manifest, MANIFEST))
        replaced = {entry.path.decode(): entry.digest for entry in listed if entry.path.decode() in files}
        details = {
            "why": why,
            "replaced": {name: replaced.get(name) for name in sorted(files)},
            "seal": Seal.read((package / bag.SEAL).read_bytes()).values,
            "tagmanifest": (package / TAGMANIFEST).read_text("utf-8"),
        }
        # What is kept keeps its line: a file that changed since it was verified above is not sealed as it is now.
        kept = ((entry, _size(package, entry.path)) for entry in listed if entry.path.decode() not in files)
        _seal(package, Ledger(package / LEDGER), key, now, by, SEALED_AGAIN, details, kept, files, timestamp)
    finally:
        if lock is not None:
            lock.close()


def _check_place(out: Path, resume: bool) -> None:
    there = {path.name for path in out.iterdir()}
    if not there:
        return
    if bag.SEAL in there:
        raise _finished(out)
    if not there & {LEDGER, bag.BAGIT}:
        raise UsedWrongly(f"{out} is not empty and holds no package: choose another --out.")
    if not resume:
        raise UsedWrongly(f"{out} holds an unfinished package: add --resume to go on with it, or choose another --out.")


def _finished(out: Path) -> UsedWrongly:
    return UsedWrongly(
        f"The package at {out} is finished and sealed: check it with “amparo verify {out}”, or choose another --out."
    )


def _locked(root: Path, *, for_children: bool = False) -> BinaryIO | None:
    """Hold the package for this process, or ``for_children`` as well.

    A run takes the first: the children of one that was killed must not keep its package from being resumed. It ends as
    soon as this process closes any file opened at the same path, so that verifying under it would lose it.
    """
    try:
        import fcntl
    except ImportError:
        return None
    file = (root / bag.BAGIT).open("r+b", buffering=0)
    try:
        (fcntl.flock if for_children else fcntl.lockf)(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise UsedWrongly(
            f"Another run is writing the package at {root}: let it end, or choose another --out."
        ) from error
    except OSError:  # a file system without locks
        pass
    return file


def _all(file: BinaryIO, raw: bytes) -> None:
    file.write(raw)


def _seal(
    root: Path,
    ledger: Ledger,
    key: Ed25519PrivateKey,
    now: datetime,
    by: str,
    act: str,
    details: dict[str, Any],
    kept: Iterable[Measured],
    files: Mapping[str, Path],
    timestamp: Stamp | None,
) -> None:
    """Stage everything, the seal last, then bring it to its place: whatever fails before that changes nothing."""
    assert ledger.first is not None
    begun = ledger.first.details
    training = begun.get("training") is True
    try:
        _check_strays(root)
        for name, source in files.items():
            with source.open("rb") as content:
                bag.stage(root, name, lambda file, content=content: shutil.copyfileobj(content, file))  # type: ignore[misc]
        count = size = 0

        def manifest(file: BinaryIO) -> None:
            nonlocal count, size
            for entry, length in heapq.merge(kept, _staged(root, files)):
                file.write(bag.line_of(entry))
                count, size = count + 1, size + length

        bag.stage(root, MANIFEST, manifest)
        _sync_folders(root)
        fields = _info_fields(ledger.first.order, now, training, f"{size}.{count}")
        details = {
            **details, "manifest_sha256": bag.digest_of(root / (MANIFEST + PARTIAL))[0], "files": count, "bytes": size,
            "fingerprint": fingerprint(key.public_key()), "training": training,
        }  # fmt: skip
        line = ledger.next_line(act, by, now, details)
        bag.stage(root, bag.BAGIT, lambda file: _all(file, bag.DECLARATION))
        bag.stage(root, bag.INFO, lambda file: _all(file, bag.info(fields)))
        bag.stage(root, LEDGER, lambda file: _all(file, ledger.path.read_bytes() + line))
        tagmanifest = b"".join(
            bag.line_of(bag.Entry(name.encode(), bag.digest_of(root / (name + PARTIAL))[0])) for name in TAGGED
        )
        bag.stage(root, TAGMANIFEST, lambda file: _all(file, tagmanifest))
        token = timestamp(hashlib.sha256(tagmanifest).digest()) if timestamp is not None else None
        sealed = Seal.make(
            key,
            tagmanifest,
            acts=ledger.count + 1,
            head=custody.digest_of(line),
            now=now,
            training=training,
            token=token,
        )
        bag.stage(root, bag.SEAL, lambda file: _all(file, sealed))
    except BaseException:
        with suppress(OSError):
            (root / (bag.SEAL + PARTIAL)).unlink(missing_ok=True)
            settle(root)
        raise
    settle(root)


def _measured(root: Path) -> Iterator[Measured]:
    """Every payload file, on the disk before it is named here."""
    for node in bag.walk(root):
        if node.kind != "file":
            what = "an empty folder" if node.kind == "empty" else f"a {node.kind}"
            raise UsedWrongly(f"{shown(node.path)} is {what}, which a package cannot carry: remove it, then --resume.")
        digest, size = bag.digest_of(bag.place(root, node.path), settle=True)
        yield bag.Entry(node.path, digest), size


def _staged(root: Path, files: Iterable[str]) -> Iterator[Measured]:
    for name in sorted(files):
        digest, size = bag.digest_of(root / (name + PARTIAL))
        yield bag.Entry(name.encode(), digest), size


def _size(root: Path, path: bytes) -> int:
    return os.lstat(bag.place(root, path)).st_size


def _check_strays(root: Path) -> None:
    known = {*TAGGED, TAGMANIFEST, bag.SEAL, DATA}
    for path in sorted(root.iterdir()):
        if path.name.removesuffix(PARTIAL) not in known:
            raise UsedWrongly(
                f"{shown(path.name)} lies in the package but is no part of it: move it away, then go on with --resume."
            )


def _sync_folders(root: Path) -> None:
    for folder, _, _ in os.walk(root / DATA):
        bag.sync_folder(Path(folder))


def _info_fields(order: dict[str, Any], now: datetime, training: bool, oxum: str) -> dict[str, str]:
    def of(name: str) -> str:
        return str(order.get(name) or "")

    return {
        "Source-Organization": of("examiner_agency"),
        "Contact-Name": of("examiner_name"),
        "External-Identifier": " / ".join(filter(None, (of("case_number"), of("exhibit_number")))),
        "External-Description": of("exhibit_description"),
        "Bagging-Date": now.date().isoformat(),
        "Payload-Oxum": oxum,
        "Bag-Software-Agent": f"Amparo {amparo.__version__}",
        "Amparo-Case": of("case_number"),
        "Amparo-Exhibit": of("exhibit_number"),
        "Amparo-Order": of("reference"),
        "Amparo-Order-Issued-By": of("issued_by"),
        "Amparo-Order-SHA256": of("sha256"),
        "Amparo-Measure": of("measure"),
        "Amparo-Training": "TRAINING: made for training, never to be filed as evidence" if training else "no",
    }
