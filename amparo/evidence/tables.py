"""The tables of ``evidence.sqlite``, as the contract promises them, and how to open them.

Times are ISO 8601 in UTC with ``Z``; digests are lower hex; paths use ``/``; sizes and offsets are bytes.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from amparo.errors import PackageWrong
from amparo.evidence.finding import shown

SCHEMA = """
create table run(key text primary key, value text) without rowid;
create table volumes(
    id integer primary key,      -- 0 for a folder or a bare file system, else the number shown in files.volume
    kind text not null,          -- folder, bare, partition, logical, shadow, unpartitioned
    parent integer,              -- the volume it lies in: a shadow copy's or a logical volume's
    filesystem text,             -- ntfs, fat, exfat, ext, iso9660, hfs, apfs, xfs; null where none was recognised
    label text,
    offset integer,              -- in the source; null where the volume is not one run of it
    size integer,
    layers text                  -- JSON: what lies between the source and the file system, e.g. ["bitlocker"]
);
create table files(
    id integer primary key,
    volume integer not null,
    path text not null,
    size integer not null,
    state text not null check (state in ('live', 'deleted', 'orphan', 'carved', 'inside')),
    md5 text, sha1 text, sha256 text,
    mime text,
    created text, modified text, accessed text, changed text,
    extents text,                -- JSON [[offset, length], ...] in the source; null where content has no address of its own
    problem text,                -- why the content is missing or incomplete
    parent integer,              -- state inside: the id of the archive, mail or cache that holds it
    address text,                -- the file system's own number: inode, MFT entry, member number
    known_good text,             -- the list that says this content is ordinary, so nobody needs to look at it
    review integer not null default 0  -- 1: a picture or a film that no list knows by a digest, which a person must still look at
);
create table matches(
    file_id integer not null, list text not null, entry text, category text,
    method text not null check (method in ('md5', 'sha1', 'sha256', 'pdq', 'vpdq')),
    distance integer not null default 0, quality integer,
    contradicted integer not null default 0  -- 1: a stronger digest of the entry differs, so a person must look
);
create table accesses(
    id integer primary key, time text, kind text, application text, account text, subject text, detail text,
    file_id integer, path text, locator text, parser text, recovered integer not null default 0
);
create table fingerprints(
    file_id integer not null,    -- a picture, or a film
    frame integer not null,      -- from 0: of an animation, of a file of several pages, of a film
    seconds real,                -- of a film: the time of the frame, from the first
    pdq text not null,           -- PDQ, 64 hex characters
    quality integer not null     -- 0 to 100; below 50 the fingerprint says too little to be compared
);
create table problems(id integer primary key, stage text not null, path text, message text not null);
create table gathered(
    file_id integer not null,    -- the file whose content was gathered
    name text not null,          -- its place in the package, e.g. data/gathered/<sha256 of the content>.age
    size integer not null,       -- of the content, in clear
    sha256 text not null,        -- of the content, in clear
    reason text not null         -- match, source, or pattern: PATTERN
);
"""

INDICES = """
create index files_by_md5 on files(md5);
create index matches_by_file on matches(file_id);
create index fingerprints_by_file on fingerprints(file_id);
"""


def create(path: Path) -> sqlite3.Connection:
    """A new database with the tables above and no rows."""
    database = sqlite3.connect(path)
    database.executescript(SCHEMA)
    return database


def open_read_only(path: Path) -> sqlite3.Connection:
    """The tables of a finished package; nothing can be written through the connection, not even a journal beside it.

    Raises PackageWrong where there is more than tables and indices: a view or a table of another kind may stand for a
    computation without end, and Amparo makes none.
    """
    database = sqlite3.connect(f"file:{_quoted(path)}?mode=ro&immutable=1", uri=True)
    database.row_factory = sqlite3.Row
    try:
        database.execute("pragma trusted_schema = off")
        database.execute("pragma cell_size_check = on")
        strange = database.execute(
            "select name from sqlite_master where type not in ('table', 'index') or sql like 'create virtual%' limit 1"
        ).fetchone()
    except sqlite3.Error:
        return database  # whoever reads it meets the damage, and says what it means
    if strange is not None:
        database.close()
        raise PackageWrong(
            f"{path.name} holds {shown(str(strange[0]))}, which is no table: Amparo did not write it; take the package from its"
            " duplicate."
        )
    return database


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
