"""A finished package of generated rows: every state of a file, matches of every kind, and names that nobody should have."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import amparo
from amparo.evidence import bag, tables
from amparo.evidence.order import example, read_order
from amparo.evidence.seal import Seal

# What a seized disk may hold as names; none of it may break a format or run on the computer that opens it.
NAMES = [
    "Users/ana/fotos/verão 1.jpg",
    "Users/ana/=cmd|' /C calc'!A1.jpg",
    "Users/ana/@SUM(1+1).jpg",
    "+351 contactos.csv",
    "-1.txt",
    "'=2+2",
    'a;=HYPERLINK("http://example.invalid");b',
    "quote \" and 'apostrophe'.txt",
    "two\nlines\r\nand\ttabs.txt",
    "bell\x07 escape\x1b[31m.txt",
    "nonchar\ufffe\uffff.txt",
    "emoji 🧒 and ünïcödé.png",
    "bytes \\xff\\xfe that are no text",
    "</filename><hashdigest type='md5'>0</hashdigest>&amp;<![CDATA[.xml",
    "-->comment<!--",
    "../../../etc/passwd",
    "C:\\back\\slash.txt",
    "＝full width.txt",
    "x" * 255,
    "{{7*7}}${7*7}.html",
]


def digests(content: str) -> dict[str, str]:
    """The three digests of a content, lower hex."""
    return {
        kind: hashlib.new(kind, content.encode(), usedforsecurity=False).hexdigest()
        for kind in ("md5", "sha1", "sha256")
    }


def order(folder: Path, training: bool = False) -> dict[str, Any]:
    """What the run table says of an order."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "order.toml"
    path.write_text(
        example(date(2026, 7, 20)).replace("training = true", f"training = {str(training).lower()}"), "utf-8"
    )
    said = read_order(path).as_dict()
    path.unlink()
    return said


def files() -> list[dict[str, Any]]:
    """The rows of the table: one of each state first, then the names."""
    times = {
        "created": "2020-03-01T10:00:00Z",
        "modified": "2020-03-01T10:00:00.500000Z",
        "accessed": "2021-01-01T00:00:00Z",
    }
    rows: list[dict[str, Any]] = [
        {"path": "Users/ana/a.jpg", "mime": "image/jpeg", "content": "a", "volume": 1, "extents": [[2048, 512], [8192, 512]],
         "size": 1024, "address": "40-128-0", **times, "changed": "2020-03-01T10:00:00Z"},
        {"path": "Users/ana/copy of a.jpg", "mime": "image/jpeg", "content": "a", "volume": 1, "size": 1024, **times},
        {"path": "Users/ana/gone.mp4", "mime": "video/mp4", "content": "film", "state": "deleted", "volume": 1,
         "extents": [[4096, 4096]], "problem": "512 bytes at 5120 could not be read.", **times},
        {"path": "$OrphanFiles/o.png", "mime": "image/png", "content": "orphan", "state": "orphan", "volume": 1},
        {"path": "$Carved/000000010000.jpg", "mime": "image/jpeg", "content": "carved", "state": "carved", "volume": 2,
         "extents": [[65536, 300]], "size": 300, "address": "65536"},
        {"path": "mail.zip", "mime": "application/zip", "content": "zip", "state": "deleted", "volume": 1, **times},
        {"path": "mail.zip/inner.zip", "mime": "application/zip", "content": "inner", "state": "inside", "parent": 6},
        {"path": "mail.zip/inner.zip/b.gif", "mime": "image/gif", "content": "b", "state": "inside", "parent": 7},
        {"path": "lost.jpg", "mime": None, "content": None, "problem": "Its content was overwritten.", "state": "deleted"},
        {"path": "empty.jpg", "mime": "image/jpeg", "content": "", "size": 0},
        {"path": "notes.bin", "mime": "application/octet-stream", "content": "listed", "volume": 1},
        {"path": "Windows/logo.png", "mime": "image/png", "content": "logo", "volume": 1, "known_good": "nsrl.db"},
    ]  # fmt: skip
    return rows + [
        {"path": name, "mime": "text/plain", "content": f"name {n}", "volume": 1} for n, name in enumerate(NAMES)
    ]


MATCHES = [
    (1, "national.json", "77", "1", "sha1", 0, None, 0),
    (2, "national.json", "77", "1", "sha1", 0, None, 0),
    (1, "partner.csv", "p-9", "2", "md5", 0, None, 0),
    (3, "partner.csv", None, "A", "sha256", 0, None, 0),
    (4, "alike.csv", "x", "1", "pdq", 12, 88, 0),
    (8, "national.json", "80", "0", "md5", 0, None, 0),
    (12, "national.json", "5", "3", "md5", 0, None, 1),
    (11, "=list\"';.csv", "=1+1", None, "md5", 0, None, 0),
]

ACCESSES = [
    ("2020-03-01T10:00:00.250000Z", "visit", "firefox", "ana", "https://example.invalid/?q=1", '{"title": "=1"}', 1,
     "Users/ana/places.sqlite", "moz_historyvisits 5", "firefox", 0),
    ("2019-01-01T00:00:00Z", "download", "chrome", "ana", "x.zip", None, None, "History", "downloads 1", "chrome", 1),
    (None, "cookie", "chrome", "ana", "example.invalid", None, None, "Cookies", "1", "chrome", 0),
]  # fmt: skip


def make(
    package: Path,
    *,
    training: bool = False,
    rows: list[dict[str, Any]] | None = None,
    same_md5: bool = False,
    **run: str,
) -> Path:
    """A finished package at ``package``; ``run`` adds to the table run, and ``same_md5`` makes every content collide."""
    (package / "data").mkdir(parents=True)
    evidence = package / "data/evidence.sqlite"
    database = tables.create(evidence)
    _fill(database, files() if rows is None else rows)
    if rows is None:
        database.executemany("insert into matches values (?, ?, ?, ?, ?, ?, ?, ?)", MATCHES)
        database.executemany(
            "insert into accesses(time, kind, application, account, subject, detail, file_id, path, locator, parser, recovered)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ACCESSES,
        )
        database.execute("insert into problems(stage, path, message) values ('read', 'lost.jpg', 'overwritten')")
    if same_md5:
        database.execute("update files set md5 = (select md5 from files where id = 1)")
    told = {
        "version": amparo.__version__,
        "order": json.dumps(order(package.parent / "order", training)),
        "source": "disk & <one>.dd",
        "source_format": "raw",
        "source_size": "1048576",
        "source_sha256_before": "ab" * 32,
        "started": "2026-07-21T09:00:00Z",
        "finished": "2026-07-21T09:05:00.125000Z",
        "lists": json.dumps([{"list": "national.json", "format": "VICS 2.0", "sha256": "cd" * 32, "size": 99}]),
        **run,
    }
    database.executemany("insert into run values (?, ?)", told.items())
    database.executescript(tables.INDICES)
    database.commit()
    database.close()
    write_manifest(package)
    return package


def write_manifest(package: Path) -> None:
    """The manifest of what is there now, and a seal over it."""
    digest = hashlib.sha256((package / "data/evidence.sqlite").read_bytes()).hexdigest()
    (package / "manifest-sha256.txt").write_text(f"{'0' * 64}  data/report.html\n{digest}  data/evidence.sqlite\n")
    write_seal(package)


def write_seal(package: Path) -> None:
    """A seal over the manifest as it is, with a key that is generated for that."""
    tags = dict.fromkeys(bag.TAGGED, "0" * 64)
    tags[bag.MANIFEST] = hashlib.sha256((package / bag.MANIFEST).read_bytes()).hexdigest()
    covered = b"".join(bag.line_of(bag.Entry(name.encode(), digest)) for name, digest in tags.items())
    (package / bag.TAGMANIFEST).write_bytes(covered)
    now, key = datetime(2026, 7, 21, tzinfo=UTC), Ed25519PrivateKey.generate()
    sealed = Seal.make(key, covered, acts=1, head="0" * 64, now=now, training=True, token=None)
    (package / bag.SEAL).write_bytes(sealed)


def _fill(database: sqlite3.Connection, rows: list[dict[str, Any]]) -> None:
    volumes = [(0, "bare", None, None, None, 0, 1 << 20, "[]"), (1, "partition", None, "ntfs", "Sistema", 1024, 1 << 19, "[]"),
               (2, "logical", 1, "ext", None, None, None, '[["lvm", "a"]]')]  # fmt: skip
    database.executemany("insert into volumes values (?, ?, ?, ?, ?, ?, ?, ?)", volumes)
    for number, row in enumerate(rows, 1):
        content = row.get("content")
        known = digests(content) if content is not None else {}
        values = {
            "id": number, "volume": row.get("volume", 0), "path": row["path"], "state": row.get("state", "live"),
            "size": row.get("size", 4096), "extents": json.dumps(row["extents"]) if "extents" in row else None, **known,
        }  # fmt: skip
        columns = ("mime", "created", "modified", "accessed", "changed", "problem", "parent", "address", "known_good")
        values |= {column: row.get(column) for column in columns}
        database.execute(
            f"insert into files({', '.join(values)}) values ({', '.join('?' * len(values))})", list(values.values())
        )
