"""The working tables of a run, and how they become those of ``evidence.sqlite`` (:mod:`amparo.evidence.tables`)."""

from __future__ import annotations

import json

from amparo.evidence.source.entry import SPARSE

WORK = """
create table state(key text primary key, value text) without rowid;
create table volumes(id integer primary key, kind, parent, filesystem, label, offset, size, layers);
create table files(
    id integer primary key, key text not null, volume integer not null, path text not null, size integer not null,
    state text not null, address text, created text, modified text, accessed text, changed text,
    runs text, inline blob, valid integer, problem text, first integer not null, at integer not null, parent integer,
    shift integer
);
create table readings(file integer primary key, md5 text, sha1 text, sha256 text, mime text, problem text, known_good text);
create table matches(file integer not null, list, entry, category, method, distance, quality, contradicted);
create table accesses(file integer not null, number integer not null, path, time, kind, application, account, subject, detail,
    locator, parser, recovered);
create table fingerprints(file integer not null, frame integer not null, seconds real, pdq blob not null, quality integer not null);
create table problems(stage text not null, path text, message text not null, unit text);
create table shards(
    id integer primary key, volume integer not null, runs text not null, until integer not null, done integer not null default 0
);
create table decoded(file integer primary key);
create table gathered(file integer primary key, name text, size integer, sha256 text, reason text);
"""

# From the working tables to the contract's, attached as "evidence": numbered by key, so that the source alone decides.
COPY = """
begin;
create temp table final(id integer primary key, work integer not null);
insert into final(work) select id from files order by key;
create unique index temp.final_by_work on final(work);
insert into evidence.volumes select * from volumes order by id;
insert into evidence.files(id, volume, path, size, state, md5, sha1, sha256, mime, created, modified, accessed, changed,
                           extents, problem, parent, address, known_good, review)
select t.id, f.volume, f.path, f.size, f.state, r.md5, r.sha1, r.sha256, r.mime, f.created, f.modified, f.accessed,
       f.changed, case when f.shift = 0 and instr(f.runs, '[-1,') = 0 then f.runs else in_source(f.runs, f.shift) end,
       coalesce(f.problem, r.problem), p.id, f.address, r.known_good,
       coalesce(r.md5 is not null and r.known_good is null and f.size > 0 and (r.mime like 'image/%' or r.mime like 'video/%')
       and f.id not in (select file from matches where method in ('md5', 'sha1', 'sha256') and not contradicted), 0)
from files f join final t on t.work = f.id left join readings r on r.file = f.id left join final p on p.work = f.parent
order by t.id;
insert into evidence.matches select t.id, list, entry, category, method, distance, quality, contradicted
from matches m join final t on t.work = m.file order by t.id, list, entry, method;
insert into evidence.accesses(time, kind, application, account, subject, detail, file_id, path, locator, parser, recovered)
select time, kind, application, account, subject, detail, t.id, path, locator, parser, recovered
from accesses a join final t on t.work = a.file order by t.id, a.number;
insert into evidence.fingerprints select t.id, frame, seconds, lower(hex(pdq)), quality
from fingerprints p join final t on t.work = p.file order by t.id, frame;
insert into evidence.problems(stage, path, message)
select stage, path, message from problems order by stage, path, message;
insert into evidence.gathered
select t.id, name, size, sha256, reason from gathered g join final t on t.work = g.file order by t.id;
drop table temp.final;
commit;
"""


def in_source(runs: str | None, shift: int | None) -> str | None:
    """Extents as the contract has them: holes have no place, and a volume's own addresses become the source's."""
    if runs is None:
        return None
    if not shift and f"[{SPARSE}," not in runs:
        return runs
    return json.dumps(
        [[offset + (shift or 0), length] for offset, length in json.loads(runs) if offset != SPARSE],
        separators=(",", ":"),
    )
