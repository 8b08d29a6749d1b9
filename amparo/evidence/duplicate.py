"""The duplicate of a package for the judicial secretary, and the signed receipt that goes with it.

Lei 109/2009, art. 16(8): a copy of data is made in two, one of them sealed and entrusted to the judicial secretary. The
two are the same to the last byte, seal included, so that each proves the other; what was handed to whom is in the
receipt, beside the duplicate and outside both. ``docs/decisions/003-duplicate.md`` says why.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

import amparo
from amparo.clock import iso
from amparo.errors import PackageWrong, UsedWrongly
from amparo.evidence import bag, seal
from amparo.evidence.custody import canonical, follow, read_lines
from amparo.evidence.finding import Finding, shown
from amparo.evidence.verifying import verify

_KIND = "receipt of a duplicate of an Amparo package, version 1"
LARGEST = 1 << 20


def duplicate(package: Path, out: Path, key: Ed25519PrivateKey, now: datetime, to: str = "") -> Path:
    """Copy a package that holds to ``out``, check every byte of the copy, and write the signed receipt beside it.

    ``out`` must not exist or be empty; where it is the root of a disk, which a file system shares with folders of its
    own, the duplicate is a folder in it. Gives the receipt's path (JSON; the same in plain words is beside it as
    ``.txt``). Raises PackageWrong where the package or the copy does not hold, UsedWrongly where ``out`` cannot be used,
    OSError where it cannot be written; then nothing is left behind.
    """
    _must_hold(package, "The package does not hold, so it is not duplicated")
    out = out / package.resolve().name if out.is_dir() and os.path.ismount(out) else out
    partial = out.with_name(out.name + bag.PARTIAL)
    receipt = out.with_name(out.name + ".receipt.json")
    _check_place(package, out, partial, receipt)
    try:
        partial.mkdir(mode=0o700)
        _copy(package, partial)
        _must_hold(partial, "The duplicate is not the same as the package; use another disk")
        for name in (bag.SEAL, bag.TAGMANIFEST):
            if (partial / name).read_bytes() != (package / name).read_bytes():
                raise PackageWrong("The package changed while it was copied: make the duplicate again.")
        statement = _receipt(partial, package.resolve().name, key, now, to)
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for path, text in ((receipt, canonical(statement) + b"\n"), (receipt.with_suffix(".txt"), _words(statement))):
        bag.stage(path.parent, path.name, lambda file, text=text: file.write(text) and None)  # type: ignore[misc]
        path.with_name(path.name + bag.PARTIAL).replace(path)
    bag.sync_folder(out.parent)
    return receipt


def check_receipt(receipt: Path, package: Path | None = None) -> list[Finding]:
    """What is right and wrong with a receipt, and, with ``package``, whether that is the one it speaks of; never raises
    for what they hold."""
    try:
        return list(_receipt_findings(receipt, package))
    except PackageWrong as error:
        return [Finding(False, str(error))]
    except OSError as error:
        return [Finding(False, f"The receipt cannot be read ({error.strerror or error}).")]


def _receipt_findings(receipt: Path, package: Path | None) -> Iterator[Finding]:
    raw = bag.read_small(receipt, LARGEST)
    try:
        values = json.loads(raw.decode("utf-8"))
        if not isinstance(values, dict) or values.get("kind") != _KIND or canonical(values) + b"\n" != raw:
            raise ValueError("not a receipt")
        public = Ed25519PublicKey.from_public_bytes(seal.from_base64(values["public_key"]))
    except (ValueError, KeyError, RecursionError) as error:
        raise PackageWrong("This is not a receipt as Amparo writes it: it was changed or damaged.") from error
    if not seal.statement_holds(public, values) or values.get("fingerprint") != seal.fingerprint(public):
        raise PackageWrong("The receipt was changed after it was signed.")
    yield Finding(
        True,
        f"The receipt is whole, signed by the key {values['fingerprint']}: compare it with the one the examiner handed over.",
    )
    if package is not None:
        digest = hashlib.sha256(bag.read_small(package / bag.TAGMANIFEST, LARGEST)).hexdigest()
        if digest != values.get("tagmanifest_sha256"):
            raise PackageWrong(
                "The receipt speaks of another package, or of this one as it was sealed at another time."
            )
        yield Finding(True, "The receipt speaks of this package.")


def _must_hold(package: Path, otherwise: str) -> None:
    wrong = next((finding for finding in verify(package) if not finding.ok), None)
    if wrong is not None:
        raise PackageWrong(f"{otherwise}: {wrong.what}")


def _check_place(package: Path, out: Path, partial: Path, receipt: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsedWrongly(f"{out} is not empty: name a folder that does not exist yet for the duplicate.")
    if not out.parent.is_dir():
        raise UsedWrongly(f"There is no folder {out.parent}: check that the disk for the duplicate is attached.")
    if out.resolve().is_relative_to(package.resolve()):
        raise UsedWrongly("The duplicate would lie inside the package: name another place for it.")
    for leftover in (partial, receipt, receipt.with_suffix(".txt")):
        if os.path.lexists(leftover):
            raise UsedWrongly(f"{leftover} is in the way of the duplicate: move it away first.")


def _copy(package: Path, into: Path) -> None:
    names = [name.encode() for name in (*bag.TAGGED, bag.TAGMANIFEST, bag.SEAL)]
    names += [node.path for node in bag.walk(package)]
    for name in names:
        target = into / os.fsdecode(name)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with bag.open_plain(bag.place(package, name)) as source, target.open("xb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
            if hasattr(os, "posix_fadvise"):  # so that the check below reads the disk, not this machine's memory
                os.posix_fadvise(copy.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    for folder, _, _ in os.walk(into):
        bag.sync_folder(Path(folder))


def _receipt(copy: Path, name: str, key: Ed25519PrivateKey, now: datetime, to: str) -> dict[str, Any]:
    sealed = seal.Seal.read((copy / bag.SEAL).read_bytes())
    with (copy / bag.LEDGER).open("rb") as file:
        order = next(follow(read_lines(file))).order
    public = key.public_key()
    return seal.sign_statement(
        key,
        {
            "kind": _KIND,
            "version": amparo.__version__,
            "law": "Lei 109/2009, art. 16(8)",
            "package": name,
            "case": str(order.get("case_number", "")),
            "exhibit": str(order.get("exhibit_number", "")),
            "order": str(order.get("reference", "")),
            "training": sealed.values["training"],
            "sealed_at": sealed.values["sealed_at"],
            "seal_fingerprint": sealed.values["fingerprint"],
            "tagmanifest_sha256": sealed.values["tagmanifest_sha256"],
            "duplicated_at": iso(now),
            "to": to,
            "public_key": seal.to_base64(seal.public_bytes(public)),
            "fingerprint": seal.fingerprint(public),
        },
    )


def _words(values: dict[str, Any]) -> bytes:
    lines = [
        "RECEIPT OF A DUPLICATE" + (" (TRAINING: never to be filed as evidence)" if values["training"] else ""),
        "",
        f"Case {values['case']}, exhibit {values['exhibit']}, order {values['order']}.",
        f"The package {values['package']}, sealed at {values['sealed_at']} with the key",
        f"    {values['seal_fingerprint']}",
        f"was copied at {values['duplicated_at']} and every byte of the copy was checked ({values['law']}).",
        f"Entrusted to: {shown(values['to']) or '________________________________'}",
        "",
        "SHA-256 of tagmanifest-sha256.txt, the same in the package and in the duplicate:",
        f"    {values['tagmanifest_sha256']}",
        "This receipt is signed (in the .json file beside it) with the key",
        f"    {values['fingerprint']}",
        "",
        "Signatures: ________________________        ________________________",
        "",
    ]
    return "\n".join(lines).encode("utf-8", "replace")
