"""A computer is searched under an order, and the package says what it holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyrage
import pytest

from amparo.errors import NotAllowed, SourceUnreadable, UsedWrongly
from amparo.evidence import examination, package, reading
from amparo.evidence.order import example, read_order
from amparo.evidence.search import Options
from tests.evidence.examining import Listener, examine, generated, rows, tables, write_disk, write_list


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Listener]:
    """The generated computer, searched once with its list."""
    folder = tmp_path_factory.mktemp("searched")
    listener = Listener()
    examine(write_disk(folder), folder / "package", listener=listener, known=(write_list(folder),))
    return folder / "package", listener


def test_every_picture_planted_is_found_where_it_was_put(searched: tuple[Path, Listener]) -> None:
    found, _ = searched
    matched = {
        (entry, state, volume) for entry, state, volume in rows(
            found, "select entry, state, volume from matches join files on files.id = file_id"
        )
    }  # fmt: skip
    planted = {(p.entry, p.state, p.volume) for p in generated().planted if p.state != "lost"}
    missing = {(entry, state) for entry, state, _ in planted} - {(entry, state) for entry, state, _ in matched}
    assert not missing


def test_digests_size_and_type_are_those_of_the_bytes_put_there(searched: tuple[Path, Listener]) -> None:
    found, _ = searched
    for planted in generated().planted:
        if planted.state == "lost":
            continue
        content = planted.content
        sha256 = hashlib.sha256(content).hexdigest()
        md5, sha1, size, mime = rows(found, "select md5, sha1, size, mime from files where sha256 = ?", sha256)[0]
        assert (md5, sha1, size) == (hashlib.md5(content).hexdigest(), hashlib.sha1(content).hexdigest(), len(content))
        assert mime.startswith("image/")


def test_extents_lead_to_the_very_bytes_in_the_source(searched: tuple[Path, Listener]) -> None:
    found, _ = searched
    disk = (found.parent / "disk.img").read_bytes()
    checked = 0
    for sha256, size, extents in rows(
        found,
        "select sha256, size, extents from files where extents is not null and sha256 is not null and size > 0"
        " and (mime is null or mime like 'image/%')",
    ):
        pieces = b"".join(disk[offset : offset + length] for offset, length in json.loads(extents))
        if len(pieces) == size:  # a file with holes, or zeros past its valid length, has no bytes for them
            assert hashlib.sha256(pieces).hexdigest() == sha256
            checked += 1
    assert checked > 10


def test_a_match_is_told_while_the_search_runs_with_the_whole_way_to_it(searched: tuple[Path, Listener]) -> None:
    found, listener = searched
    told = {path for path, _ in listener.matches}
    assert told == {path for (path,) in rows(found, "select path from matches join files on files.id = file_id")}


def test_matches_are_the_only_rows_without_a_second_copy(searched: tuple[Path, Listener]) -> None:
    found, _ = searched
    twice = rows(
        found, "select file_id, list, entry, method, count(*) from matches group by 1, 2, 3, 4 having count(*) > 1"
    )
    assert twice == []


def test_carved_files_lie_only_where_no_live_file_does(searched: tuple[Path, Listener]) -> None:
    found, _ = searched
    live = sorted(
        (offset, offset + length)
        for (extents,) in rows(found, "select extents from files where state = 'live' and extents is not null")
        for offset, length in json.loads(extents)
    )
    for path, extents in rows(found, "select path, extents from files where state = 'carved'"):
        for offset, length in json.loads(extents):
            assert not [run for run in live if run[0] < offset + length and offset < run[1]], path


def test_two_runs_give_the_same_tables_whatever_the_workers(searched: tuple[Path, Listener], tmp_path: Path) -> None:
    found, _ = searched
    known = (found.parent / "known.csv",)
    examine(found.parent / "disk.img", tmp_path / "package", options={"workers": 5}, known=known)
    assert tables(tmp_path / "package") == tables(found)


def test_triage_stops_after_pictures_and_peoples_folders(searched: tuple[Path, Listener], tmp_path: Path) -> None:
    listener = Listener()
    examine(
        searched[0].parent / "disk.img", tmp_path / "package", options={"triage": True}, listener=listener,
        known=(searched[0].parent / "known.csv",),
    )  # fmt: skip
    read = {path for (path,) in rows(tmp_path / "package", "select path from files where sha256 is not null")}
    listed = {path for (path,) in rows(tmp_path / "package", "select path from files")}
    assert any(path.startswith("Users/") for path in read)
    assert any(path.startswith("Windows/") for path in listed - read)
    assert not rows(tmp_path / "package", "select 1 from files where state = 'carved'")
    assert listener.matches
    assert rows(tmp_path / "package", "select value from run where key = 'triage'") == [("1",)]


def test_pictures_in_peoples_folders_are_read_before_anything_else(
    searched: tuple[Path, Listener], tmp_path: Path
) -> None:
    listener = Listener()
    disk = searched[0].parent / "disk.img"
    examine(
        disk, tmp_path / "package", options={"workers": 1}, listener=listener, known=(searched[0].parent / "known.csv",)
    )
    assert listener.matches[0][0].startswith("Users/")
    assert not listener.matches[0][0].endswith((".dat", ".zip"))


def test_known_good_files_are_set_aside_and_are_no_match(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "ordinary.dll").write_bytes(b"ordinary" * 100)
    (source / "own.txt").write_bytes(b"own")
    digest = hashlib.sha256(b"ordinary" * 100).hexdigest()
    good = tmp_path / "nsrl.csv"
    good.write_text(
        f'"SHA-1","MD5","CRC32","FileName","FileSize","ProductCode","OpSystemCode","SpecialCode"\n'
        f'"{hashlib.sha1(b"ordinary" * 100).hexdigest()}","{hashlib.md5(b"ordinary" * 100).hexdigest()}","0","ordinary.dll",800,1,"",""\n'
    )
    examine(source, tmp_path / "package", known=(good,))
    assert rows(tmp_path / "package", "select path, known_good from files order by path") == [
        ("ordinary.dll", "nsrl.csv"),
        ("own.txt", None),
    ]
    assert rows(tmp_path / "package", "select * from matches") == []
    assert rows(tmp_path / "package", "select sha256 from files where path = 'ordinary.dll'") == [(digest,)]


def test_what_is_gathered_is_what_was_matched_and_what_was_named_and_never_in_clear(tmp_path: Path) -> None:
    disk = write_disk(tmp_path)
    key = pyrage.x25519.Identity.generate()
    examine(
        disk, tmp_path / "package", known=(write_list(tmp_path),),
        options={"gather": ("*.PDF",), "recipients": (str(key.to_public()),)},
    )  # fmt: skip
    gathered = rows(
        tmp_path / "package",
        "select name, g.size, g.sha256, reason, f.path, f.id in (select file_id from matches)"
        " from gathered g join files f on f.id = g.file_id",
    )
    assert {reason for *_, reason, _, _ in gathered} == {"match", "pattern: *.PDF"}
    for name, size, sha256, reason, path, matched in gathered:
        assert (reason == "match") == bool(matched)
        assert matched or path.lower().endswith(".pdf")
        secret = (tmp_path / "package" / name).read_bytes()
        clear = pyrage.decrypt(secret, [key])
        assert (len(clear), hashlib.sha256(clear).hexdigest()) == (size, sha256)
        assert clear[:64] not in secret
    matches = rows(tmp_path / "package", "select count(distinct file_id) from matches")[0][0]
    assert sum(reason == "match" for *_, reason, _, _ in gathered) == matches
    assert all(finding.ok for finding in package.verify(tmp_path / "package"))


def test_without_a_recipient_nothing_is_gathered(searched: tuple[Path, Listener]) -> None:
    assert not (searched[0] / "data/gathered").exists()
    assert rows(searched[0], "select * from gathered") == []


class _Counting:
    """A hook's consumer, as a later desk would write one: it matches files that hold a word, wherever the pieces are cut."""

    def __init__(self) -> None:
        self.tail, self.seen, self.size = b"", False, 0

    def feed(self, piece: bytes) -> None:
        self.size += len(piece)
        text = self.tail + piece
        self.seen = self.seen or b"needle" in text
        self.tail = text[-5:]

    def finish(self) -> reading.Additions:
        if not self.seen:
            return reading.Additions()
        access = reading.Access(None, "file_opened", "test", None, "needle", None, f"size {self.size}", "counting")
        return reading.Additions(
            matches=(reading.Match("words", "1", None, "pdq", 3, 90),),
            accesses=(access,),
            problems=("It holds a needle.",),
        )


def test_a_hook_sees_every_byte_of_the_one_read_and_its_findings_reach_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    border = b"x" * (reading.PIECE - 3) + b"needle" + b"y" * 10
    (source / "border.bin").write_bytes(border)
    (source / "other.bin").write_bytes(b"nothing")
    monkeypatch.setitem(
        reading.HOOKS, "counting", lambda path, size, mime, head: _Counting() if path.endswith(".bin") else None
    )
    key = pyrage.x25519.Identity.generate()
    examine(source, tmp_path / "package", options={"recipients": (str(key.to_public()),)})
    assert rows(tmp_path / "package", "select list, method, distance, quality from matches") == [
        ("words", "pdq", 3, 90)
    ]
    assert rows(tmp_path / "package", "select path, subject, locator, parser from accesses") == [
        ("border.bin", "needle", f"size {len(border)}", "counting")
    ]
    assert ("read", "border.bin", "It holds a needle.") in rows(
        tmp_path / "package", "select stage, path, message from problems"
    )
    assert rows(tmp_path / "package", "select reason from gathered") == [("match",)]


def test_the_source_is_shown_unchanged(searched: tuple[Path, Listener], tmp_path: Path) -> None:
    disk = searched[0].parent / "disk.img"
    before = disk.stat()
    examine(disk, tmp_path / "package", source_digest="both")
    after = disk.stat()
    told = dict(rows(tmp_path / "package", "select key, value from run"))
    assert told["source_sha256_before"] == told["source_sha256_after"] == hashlib.sha256(disk.read_bytes()).hexdigest()
    assert (before.st_mtime_ns, before.st_size, before.st_atime_ns) == (
        after.st_mtime_ns,
        after.st_size,
        after.st_atime_ns,
    )


def test_a_lapsed_order_reads_nothing_and_writes_nothing(tmp_path: Path) -> None:
    from datetime import UTC, date, datetime

    paper = tmp_path / "order.toml"
    paper.write_text(example(date(2026, 1, 5)), "utf-8")
    source = tmp_path / "never-opened"
    source.mkdir(mode=0)
    request = examination.Request(source, read_order(paper), tmp_path / "package", Options(workers=1))
    with pytest.raises(NotAllowed, match="lapsed on 4 Feb 2026"):
        examination.examine(request, Listener(), lambda: datetime(2026, 2, 5, 12, tzinfo=UTC))
    assert not (tmp_path / "package").exists()


def test_a_source_that_cannot_be_opened_leaves_no_half_made_package(tmp_path: Path) -> None:
    empty = tmp_path / "empty.img"
    empty.touch()
    for source in (empty, tmp_path / "absent.img"):
        with pytest.raises(SourceUnreadable):
            examine(source, tmp_path / "package")
        assert not (tmp_path / "package").exists()


def test_a_package_inside_its_own_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(UsedWrongly, match="inside the source"):
        examine(tmp_path / "source", tmp_path / "source" / "package")
