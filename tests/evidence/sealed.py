"""Small packages for the tests: generated tables, a report of one line, one gathered content. No real order, no real key."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import types
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from amparo.evidence import bag, custody, package, tables
from amparo.evidence.order import example, read_order
from amparo.evidence.seal import Seal

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=3)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
FILES = (
    "bagit.txt", "bag-info.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt", "custody.jsonl", "seal.json",
    "data/report.html", "data/evidence.sqlite", f"data/gathered/{7:064x}.age",
)  # fmt: skip
BY = "Ana Exemplo, Polícia de Exemplo"


def order_in(folder: Path, *, training: bool = False, reference: str = "Despacho 14/2026") -> dict[str, Any]:
    file = folder / "order.toml"
    text = example(date(2026, 11, 20)).replace("Despacho 14/2026", reference)
    file.write_text(text if training else text.replace("training = true", "training = false"), "utf-8")
    return read_order(file).as_dict()


def begin(
    root: Path, *, training: bool = False, resume: bool = False, reference: str = "Despacho 14/2026"
) -> package.PackageWriter:
    order = order_in(root.parent, training=training, reference=reference)
    return package.PackageWriter.begin(root, order=order, now=NOON, by=BY, training=training, resume=resume)


def fill(writer: package.PackageWriter) -> None:
    database = tables.create(writer.data / "evidence.sqlite")
    order = writer.ledger.first.details["order_sha256"] if writer.ledger.first else ""
    database.execute("insert into run values ('order_sha256', ?)", (order,))
    database.execute("insert into files(id, volume, path, size, state) values (1, 0, 'a.txt', 3, 'live')")
    database.commit()
    database.execute("vacuum")
    database.close()
    (writer.data / "report.html").write_text("<!doctype html><title>generated</title>\n", "utf-8")
    (writer.data / "gathered").mkdir()
    (writer.data / "gathered" / f"{7:064x}.age").write_bytes(b"not really encrypted, only for the test\n")
    writer.ledger.add("searched", BY, NOON + timedelta(hours=1), live=1, problems=0)


def sealed(root: Path, *, training: bool = False, timestamp: package.Stamp | None = None) -> Path:
    writer = begin(root, training=training)
    fill(writer)
    writer.finish(KEY, NOON + timedelta(hours=2), timestamp=timestamp)
    return root


def copy_of(root: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    return Path(shutil.copytree(root, to, symlinks=True))


def holds(root: Path, key: str | None = None) -> bool:
    return all(finding.ok for finding in package.verify(root, key))


def first_wrong(root: Path, key: str | None = None) -> str:
    """The first thing that is wrong with a package; empty where it holds."""
    return next((finding.what for finding in package.verify(root, key) if not finding.ok), "")


def acts(root: Path) -> list[str]:
    return [json.loads(line)["act"] for line in (root / "custody.jsonl").read_bytes().splitlines()]


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def bagit_agrees(root: Path) -> bool:
    # bagit asks setuptools for its own version with a module that setuptools no longer has.
    stand_in = types.ModuleType("pkg_resources")
    stand_in.DistributionNotFound = LookupError  # type: ignore[attr-defined]
    stand_in.get_distribution = lambda name: types.SimpleNamespace(version="1")  # type: ignore[attr-defined]
    sys.modules.setdefault("pkg_resources", stand_in)
    import bagit

    return bool(bagit.Bag(str(root)).validate())


def sha256sum_agrees(root: Path) -> bool:
    command = ["sha256sum", "--check", "--strict", "--quiet", "manifest-sha256.txt", "tagmanifest-sha256.txt"]
    return subprocess.run(command, cwd=root, capture_output=True).returncode == 0


def lines_of(root: Path) -> list[bytes]:
    return (root / "custody.jsonl").read_bytes().splitlines(keepends=True)


def forge(
    root: Path,
    key: Ed25519PrivateKey,
    manifest: bytes | None = None,
    ledger: list[bytes] | None = None,
    tags: tuple[str, ...] = bag.TAGGED,
) -> None:
    """Write every tag file anew around what lies in the package, as a forger with a key of their own would."""
    if manifest is not None:
        (root / "manifest-sha256.txt").write_bytes(manifest)
    lines = ledger or (root / "custody.jsonl").read_bytes().splitlines(keepends=True)
    last = json.loads(lines[-1])
    last["details"]["manifest_sha256"] = hashlib.sha256((root / "manifest-sha256.txt").read_bytes()).hexdigest()
    last["details"]["bytes"] = sum(path.lstat().st_size for path in (root / "data").rglob("*") if path.is_file())
    lines[-1] = custody.canonical(last) + b"\n"
    (root / "custody.jsonl").write_bytes(b"".join(lines))
    covered = b"".join(
        hashlib.sha256((root / name).read_bytes()).hexdigest().encode() + b"  " + name.encode() + b"\n" for name in tags
    )
    (root / "tagmanifest-sha256.txt").write_bytes(covered)
    head = custody.digest_of(lines[-1])
    sealed = Seal.make(key, covered, acts=len(lines), head=head, now=NOON, training=False, token=None)
    (root / "seal.json").write_bytes(sealed)


def manifest_of(root: Path) -> bytes:
    return (root / "manifest-sha256.txt").read_bytes()
