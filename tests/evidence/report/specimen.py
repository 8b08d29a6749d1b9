"""A database of one examination, made here row by row: what the report is written from in these tests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from amparo.evidence import tables

ORDER: dict[str, Any] = {
    "training": False, "measure": "search", "article": "Lei 109/2009, art. 15", "confirmed_by_jurist": False,
    "reference": "Despacho 14/2026", "issued_by": "Procuradora da República, DIAP de Exemplo", "authority": "judicial_authority",
    "issued_on": "2026-06-20", "able_to_search_on": "2026-06-23", "lapses_on": "2026-07-23", "case_number": "123/26.0JAEXP",
    "exhibit_number": "AP-7", "exhibit_description": "Computador portátil, n.º de série 5CD1234", "examiner_name": "Ana Exemplo",
    "examiner_agency": "Polícia de Exemplo", "sha256": "10" * 32, "warnings": [],
}  # fmt: skip
LISTS: list[dict[str, Any]] = [
    {
        "list": name,
        "format": kind,
        "good": good,
        "sha256": digest * 32,
        "size": 90_000,
        "entries": entries,
        "skipped": 3,
        "empty": 1,
    }
    for name, kind, good, digest, entries in (
        ("lista-nacional.json", "vics 2.0", False, "ab", 1_200),
        ("parceiro.csv", "csv", False, "cd", 250),
        ("nsrl.sqlite", "nsrl", True, "ef", 4_000_000),
    )
]
OPTIONS = {
    "carve": True,
    "inside": True,
    "gather": ["*.docx"],
    "recipients": ["age1" + "q" * 58],
    "source_digest": "both",
}
RUN = {
    "version": "0.1.0", "order_lapses_on": "2026-07-23", "source": "portatil.E01", "source_format": "ewf",
    "started": "2026-06-30T22:58:12Z", "finished": "2026-06-30T23:41:55Z", "triage": "0", "source_size": "256060514304",
    "source_sha256_before": "5a" * 32, "source_sha256_after": "5a" * 32, "source_md5_stored": "6b" * 16,
    "options": json.dumps(OPTIONS),
    "interrupted": "[]", "language": "pt",
}  # fmt: skip


def digests(number: object) -> tuple[str, str, str]:
    """The three digests of a content that says its number."""
    content = str(number).encode("utf-8", "backslashreplace")
    return tuple(hashlib.new(kind, content, usedforsecurity=False).hexdigest() for kind in ("md5", "sha1", "sha256"))  # type: ignore[return-value]


class Specimen:
    """A database being filled. ``file`` and ``match`` add rows; ``finish`` writes what is left and closes it."""

    def __init__(
        self, path: Path, order: dict[str, Any] | None = None, run: dict[str, str | None] | None = None
    ) -> None:
        self.path = path
        self.database = tables.create(path)
        self.run: dict[str, str | None] = {
            **RUN, "order": json.dumps({**ORDER, **(order or {})}), "lists": json.dumps(LISTS), **(run or {}),
        }  # fmt: skip

    def volume(self, number: int, kind: str = "partition", **more: Any) -> None:
        row = {
            "parent": None,
            "filesystem": "ntfs",
            "label": "Windows",
            "offset": 1 << 20,
            "size": 1 << 30,
            "layers": "[]",
            **more,
        }
        self.database.execute(
            "insert into volumes values (?, ?, ?, ?, ?, ?, ?, ?)",
            (number, kind, *(row[name] for name in ("parent", "filesystem", "label", "offset", "size", "layers"))),
        )

    def file(self, path: str, state: str = "live", **more: Any) -> int:
        md5, sha1, sha256 = digests(path)
        row = {
            "volume": 1, "path": path, "size": 204_800, "state": state, "md5": md5, "sha1": sha1, "sha256": sha256,
            "mime": "image/jpeg", "modified": "2025-03-01T10:20:30Z", "extents": "[[1048576,204800]]", **more,
        }  # fmt: skip
        cursor = self.database.execute(
            f"insert into files({', '.join(row)}) values ({', '.join('?' * len(row))})",
            [*row.values()],
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def match(self, file: int, known: str = "lista-nacional.json", **more: Any) -> None:
        row = {"file_id": file, "list": known, "entry": "4711", "category": "1", "method": "sha1", **more}
        self.database.execute(
            f"insert into matches({', '.join(row)}) values ({', '.join('?' * len(row))})", [*row.values()]
        )

    def problem(self, stage: str, path: str | None, message: str) -> None:
        self.database.execute("insert into problems(stage, path, message) values (?, ?, ?)", (stage, path, message))

    def gather(self, file: int, reason: str = "match") -> None:
        name = f"data/gathered/{digests(file)[2]}.age"
        self.database.execute(
            "insert into gathered values (?, ?, ?, ?, ?)", (file, name, 204_800, digests(file)[2], reason)
        )

    def finish(self) -> Path:
        self.database.executemany(
            "insert into run values (?, ?)",
            [(key, value) for key, value in sorted(self.run.items()) if value is not None],
        )
        self.database.executescript(tables.INDICES)
        self.database.commit()
        self.database.close()
        return self.path


def everyday(path: Path, files: int = 60, matches: int = 12, **more: Any) -> Path:
    """An examination as most are: a laptop with two partitions, deleted and carved files, an archive, matches of two lists."""
    made = Specimen(path, **more)
    made.volume(1)
    made.volume(2, "partition", filesystem="exfat", label="DADOS", offset=(1 << 30) + (1 << 20), size=1 << 29)
    made.volume(3, "shadow", parent=1, label=None, offset=None, size=1 << 30, layers='[["shadow", "1"]]')
    mimes = [
        "image/jpeg",
        "text/plain",
        "application/pdf",
        "video/mp4",
        "application/vnd.sqlite3",
        "application/x-elf",
        None,
        "image/png",
    ]
    for number in range(files):
        made.file(
            f"Users/Ana/Pictures/Férias {number % 7}/IMG_{number:05}.jpg", ("live", "live", "live", "deleted")[number % 4],
            size=3_000 + number * 997, mime=mimes[number % len(mimes)], extents=json.dumps([[(number + 5) << 20, 4096]] * (1 + number % 3)),
        )  # fmt: skip
    archive = made.file("Users/Ana/Documents/cópia.zip", mime="application/zip", extents="[[734003200,90000]]")
    inner = made.file(
        "Users/Ana/Documents/cópia.zip/antigo.tar", "inside", mime="application/x-tar", extents=None, parent=archive
    )
    deep = made.file("Users/Ana/Documents/cópia.zip/antigo.tar/foto.jpg", "inside", extents=None, parent=inner)
    carved = made.file("$Carved/0000004000.jpg", "carved", modified=None)
    made.file(
        "$OrphanFiles/thumb.db",
        "orphan",
        mime=None,
        md5=None,
        sha1=None,
        sha256=None,
        problem="Its clusters were used again.",
    )
    for number in range(matches):
        made.match(number % files + 1, category=str(1 + number % 2), entry=f"{4700 + number}")
    made.match(deep, category="1", method="sha256")
    made.match(carved, "parceiro.csv", category=None, entry=None, method="md5")
    made.gather(1)
    made.gather(deep)
    made.problem("volumes", "volume 2", "The BitLocker volume needs a key: give it with --key.")
    for number in range(3):
        made.problem(
            "read", f"Users/Ana/AppData/Local/cache_{number}", "4096 bytes cannot be read and were taken as zeros."
        )
    return made.finish()
