"""Lists made on the spot: digests of numbers, written in every format."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

HASHDEEP = "%%%% HASHDEEP-1.0\n%%%% size,md5,sha256,filename\n## Invoked from: /home\n"
ICSE = (
    "MD5;SHA1;PhotoDNA;Image ID;Is distributed;Victim identified;Offender identified;Series name;"
    "Number of submissions;File Available;Media Type;Baseline\n"
)
SIGNALS = "signal_type,signal_str,collab,category,tags\n"  # threatexchange dataset --print-signals --csv
QUERY = "id,indicator,type,status,tags,owner_id\n"  # threatexchange api fb_threatexchange query
NCMEC = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    '<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2">\n'
)
RDS2 = '"SHA-1","MD5","CRC32","FileName","FileSize","ProductCode","OpSystemCode","SpecialCode"\n'
VICS20 = "http://github.com/VICSDATAMODEL/ProjectVic/DataModels/2.0.xml/Default/$metadata#Media"
VICS13 = "http://github.com/ICMEC/ProjectVic/DataModels/1.3.xml#Media"


def raw(kind: str, n: int) -> bytes:
    return hashlib.new(kind, str(n).encode()).digest()


def lower(kind: str, n: int) -> str:
    return raw(kind, n).hex()


def upper(kind: str, n: int) -> str:
    return raw(kind, n).hex().upper()


def vics_entry(n: int) -> dict[str, object]:
    return {
        "MediaID": n, "Category": n % 3, "MD5": upper("md5", n), "SHA1": upper("sha1", n), "MediaSize": "1234",
        "DateUpdated": "/Date(1400000000000)/", "VictimIdentified": "false", "Series": None, "PhotoDNA": "QUJD" * 48,
        "AlternativeHashes": [{"HashName": "SHA256", "HashValue": upper("sha256", n)}],
        "Exifs": [{"MD5": upper("md5", n), "PropertyName": "Make", "PropertyValue": "x"}],
    }  # fmt: skip


def hashdeep_lines(count: int) -> list[str]:
    return [f"{n},{lower('md5', n)},{lower('sha256', n)},/a/file, number {n}.jpg\n" for n in range(count)]


def md5sum_lines(count: int) -> list[str]:
    return [f"{lower('md5', n)}  some/file {n}\n" for n in range(count)]


def bsd_lines(count: int) -> list[str]:
    return [f"SHA256 (file (copy) {n}) = {lower('sha256', n)}\n" for n in range(count)]


def bare_lines(count: int) -> list[str]:
    return [lower("sha1", n) + "\n" for n in range(count)]


def csv_lines(count: int) -> list[str]:
    return [f'{lower("md5", n)},"{lower("sha1", n)}",{n % 3},"entry, {n}"\n' for n in range(count)]


def icse_lines(count: int) -> list[str]:
    return [
        f"{lower('md5', n)};{lower('sha1', n)};AAAA;{n};true;false;;series;3;true;image;{'true' if n % 2 else 'false'}\n"
        for n in range(count)
    ]


def rds2_lines(count: int) -> list[str]:
    return [f'"{upper("sha1", n)}","{upper("md5", n)}","00000000","a""b.dll",{n},1,"362",""\n' for n in range(count)]


def signal_lines(count: int) -> list[str]:
    return [f"pdq,{lower('sha256', n)},trial,POSITIVE_CLASS,one two\n" for n in range(count)]


def query_lines(count: int) -> list[str]:
    return [f"{n},{lower('md5', n)},HASH_VIDEO_MD5,MALICIOUS,,77\n" for n in range(count)]


def pdq_lines(count: int) -> list[str]:
    return [f"pdq:{upper('sha256', n)}  picture {n}\n" for n in range(count)]


LINES: dict[str, tuple[str, Callable[[int], list[str]]]] = {
    "hashdeep": (HASHDEEP, hashdeep_lines),
    "md5sum": ("", md5sum_lines),
    "bsd": ("", bsd_lines),
    "bare": ("", bare_lines),
    "csv": ("md5,sha1,category,entry\n", csv_lines),
    "icse": (ICSE, icse_lines),
    "rds2": (RDS2, rds2_lines),
    "signals": (SIGNALS, signal_lines),
    "query": (QUERY, query_lines),
    "pdq": ("", pdq_lines),
}


def write_lines(path: Path, form: str, lines: Iterable[str] | int) -> Path:
    header, made = LINES[form]
    path.write_text(header + "".join(made(lines) if isinstance(lines, int) else lines), "utf-8")
    return path


def write_vics(path: Path, entries: Iterable[object] | int, key: str = "@odata.context", model: str = VICS20) -> Path:
    made = map(vics_entry, range(entries)) if isinstance(entries, int) else entries
    with path.open("w", encoding="utf-8-sig") as out:
        out.write(f'{{"{key}": "{model}", "value": [')
        for n, entry in enumerate(made):
            out.write(("," if n else "") + "\r\n" + (entry if isinstance(entry, str) else json.dumps(entry)))
        out.write("]}")
    return path


def ncmec_entry(n: int, name: str = "image") -> str:
    return (
        f'<{name}><member id="42">Example Member</member><timestamp>2017-10-24T15:00:{n % 60:02}Z</timestamp><id>id{n}</id>'
        f"<classification>{('A1', 'A2', 'B1', 'B2')[n % 4]}</classification><fingerprints><md5>{lower('md5', n)}</md5>"
        f"<sha1>{lower('sha1', n)}</sha1><pdna>QUJD</pdna><pdq>{lower('sha256', n)}</pdq></fingerprints></{name}>\n"
    )


def write_ncmec(path: Path, entries: Iterable[str] | int, videos: Iterable[str] = (), after: str = "") -> Path:
    images = map(ncmec_entry, range(entries)) if isinstance(entries, int) else entries
    with path.open("w", encoding="utf-8") as out:
        out.write(NCMEC)
        for name, part in (("images", images), ("videos", videos)):
            out.write(f'<{name} count="1" maxTimestamp="2017-10-24T15:10:00Z">\n')
            for entry in part:
                out.write(entry)
            out.write(f"</{name}>\n")
        out.write(after + "</queryResult>\n")
    return path


def stopncii_record(n: int, kind: str = "ImagePDQ", status: str = "Active") -> dict[str, object]:
    return {
        "lastModtimestamp": 1625175071, "hashValue": lower("sha256" if kind == "ImagePDQ" else "md5", n), "hashStatus": status,
        "caseNumbers": {f"case {n}": "Active"}, "signalType": kind,
        "CSPFeedbacks": [{"source": "Example", "feedbackValue": "Blocked", "tags": ["one"]}],
    }  # fmt: skip


def write_stopncii(path: Path, records: Iterable[object] | int, more: bool = False) -> Path:
    made = map(stopncii_record, range(records)) if isinstance(records, int) else records
    with path.open("w", encoding="utf-8") as out:
        out.write(f'{{"count": 1, "nextSetTimestamp": 5, "hasMoreRecords": {json.dumps(more)}, "hashRecords": [')
        for n, record in enumerate(made):
            out.write(("," if n else "") + "\n" + (record if isinstance(record, str) else json.dumps(record)))
        out.write("]}")
    return path


def write_rds3(path: Path, count: int, view: bool = False) -> Path:
    database = sqlite3.connect(path)
    columns = "sha256 varchar not null, sha1 varchar not null, md5 varchar not null"
    if view:
        database.execute(f"create table METADATA(metadata_id integer primary key, {columns})")
        database.execute(
            "create view FILE as select upper(sha256) sha256, sha1, md5, 'x' file_name from METADATA, METADATA"
        )
        database.executemany(
            "insert into METADATA(sha256, sha1, md5) values (?, ?, ?)",
            [(lower("sha256", n), lower("sha1", n), lower("md5", n)) for n in range(count)],
        )
    else:
        database.execute(
            f"create table FILE({columns}, crc32 varchar, file_name varchar, file_size integer, package_id integer, "
            "primary key (sha256, sha1, md5, file_name, file_size, package_id))"
        )
        database.executemany(
            "insert into FILE values (?, ?, ?, '00000000', ?, 1, 1)",
            [
                (upper("sha256", n), upper("sha1", n), upper("md5", n), name)
                for n in range(count)
                for name in ("a", "b")
            ],
        )
    database.commit()
    database.close()
    return path


def spoil(lines: list[str], share: float, seed: int) -> tuple[list[str], set[int]]:
    """The lines with a share of them broken, and which: cut, lengthened, not hex, binary, or an open quotation mark."""
    random_ = random.Random(seed)
    broken = set(random_.sample(range(1, len(lines)), int(len(lines) * share)))
    ways: list[Callable[[str], str]] = [
        lambda line: line[:17] + "\n",
        lambda line: "0" + line,
        lambda line: "zz" + line[2:],
        lambda line: "\x00\ufffd\x1b[2J\n",
        lambda line: '"' + line,
    ]
    return [random_.choice(ways)(line) if n in broken else line for n, line in enumerate(lines)], broken
