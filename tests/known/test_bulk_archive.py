"""Tar archives as stores: every member once, whatever is damaged, and never more memory than the archive is allowed."""

from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amparo.known.bulk import archive, headers
from amparo.known.bulk.archive import Archive
from amparo.known.bulk.thing import Thing
from tests.known.bulk_specimens import content, index_of, listed, match, picture, tar_of, zipped

FORMS = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}


def put(folder: Path, data: bytes, name: str = "a.tar") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_every_member_comes_with_its_content(tmp_path: Path, form: str, compressed: bool):
    long = "x/" * 60 + "end" if form != "ustar" else "x/" * 40 + "end"
    members = [
        ("a", b"first"),
        ("empty", b""),
        (long, b"long name"),
        ("ação", b"x" * 5000),
        ("a", b"the same name again"),
    ]
    data = tar_of(members, FORMS[form])
    path = put(tmp_path, zipped(data) if compressed else data, "a.tar.gz" if compressed else "a.tar")
    things, troubles = listed(path)
    assert not troubles
    assert [(thing.name.removeprefix(f"{path}/"), content(thing)) for thing in things] == members
    assert len({thing.key for thing in things}) == len(members)


def test_names_that_are_no_text_come_as_they_are(tmp_path: Path):
    name = os.fsdecode(b"bad\xff\xfe name\n")
    for form in (tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        (thing,) = listed(put(tmp_path, tar_of([(name, b"x")], form)))[0]
        assert os.fsencode(thing.name).endswith(b"/bad\xff\xfe name\n")


def test_links_folders_and_devices_are_no_members_and_names_that_climb_are_only_names(tmp_path: Path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            member = tarfile.TarInfo(f"kind{kind.decode()}")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        member = tarfile.TarInfo("../../outside")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    things, troubles = listed(put(tmp_path, out.getvalue()))
    assert [content(thing) for thing in things] == [b"abc"] and not troubles
    assert not (tmp_path.parent.parent / "outside").exists()


def test_a_damaged_heading_is_told_and_the_members_behind_it_are_read(tmp_path: Path):
    members = [(f"m{n}", bytes([n]) * 700) for n in range(5)]
    data = bytearray(tar_of(members, tarfile.USTAR_FORMAT))
    data[3 * 512 + 5] ^= 0x40  # the second member's heading: its name
    things, troubles = listed(put(tmp_path, bytes(data)))
    assert [thing.name[-2:] for thing in things] == ["m0", "m2", "m3", "m4"]
    assert [content(thing) for thing in things] == [members[n][1] for n in (0, 2, 3, 4)]
    assert [trouble.sentence for trouble in troubles] == [
        "1536 bytes from byte 1536 on are damaged, what was in them is not read."
    ]


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_of_a_member_that_is_cut_off_what_is_there_is_examined_and_told(tmp_path: Path, compressed: bool):
    data = tar_of([("a", b"whole"), ("b", b"0123456789" * 100)], tarfile.USTAR_FORMAT)[: 3 * 512 + 300]
    path = put(tmp_path, zipped(data) if compressed else data, "a.tar")
    answers, _ = match([path], index_of(tmp_path, exact=[b"whole", (b"0123456789" * 100)[:300]]))
    assert [hit.entry for answer in answers.values() for hit in answer.hits] == ["exact0", "exact1"]
    assert answers[f"{path}/b"].problem == "The archive ends within it: 300 of its 1000 bytes are there."


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damaged_compression_is_told_and_what_came_before_is_examined(tmp_path: Path, damage: str):
    noise = random.Random(5).randbytes
    data = zipped(tar_of([(f"m{n}", noise(20_000)) for n in range(10)], tarfile.USTAR_FORMAT))
    half = len(data) // 2
    data = data[:half] if damage == "cut" else data[:half] + b"\xff" * 100 + data[half + 100 :]
    things, troubles = listed(put(tmp_path, data, "a.tar.gz"))
    assert 3 <= len(things) <= 10
    assert damage != "cut" or "it is cut off" in troubles[-1].sentence
    assert damage == "cut" or "its compression is damaged" in troubles[-1].sentence or things[-1].flaw


def test_large_members_of_a_compressed_archive_go_through_a_file_that_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(archive, "LARGEST_HELD", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    seen = picture(1, "PNG")
    path = put(tmp_path, zipped(tar_of([("s", b"small"), ("p.png", seen), ("q", b"y" * 5000)])), "a.tgz")
    answers, _ = match([path], index_of(tmp_path, looks=[seen], exact=[b"y" * 5000]))
    assert [hit.entry for answer in answers.values() for hit in answer.hits] == ["looks0", "exact0"]
    assert not [p for p in (tmp_path / "tmp").rglob("*") if p.is_file()]


def test_a_cluster_is_told_what_it_cannot_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archive, "LARGEST_HELD", 10)
    monkeypatch.setattr(archive, "LARGEST_SENT", 100)
    path = put(tmp_path, zipped(tar_of([("a", b"x" * 50), ("b", b"x" * 500), ("c", b"end")])))
    found = list(Archive(path, True, reachable=False).things())
    assert [content(f) if isinstance(f, Thing) else f.sentence for f in found] == [
        b"x" * 50, "It is too large to be sent to a cluster (500 bytes): unpack the archive.", b"end",
    ]  # fmt: skip


def test_a_heading_that_claims_a_name_of_gigabytes_costs_no_memory(tmp_path: Path):
    for kind in (b"L", b"x", b"g"):
        member = tarfile.TarInfo("huge")
        member.type, member.size = kind, 6 << 30
        path = put(tmp_path, gzip.compress(member.tobuf(tarfile.USTAR_FORMAT) + bytes(64 << 20), 1), "a.tar.gz")
        assert listed(path)[0] == []


def test_a_file_with_holes_is_told_since_its_bytes_are_not_its_content(tmp_path: Path):
    member = tarfile.TarInfo("holes")
    member.size = 512
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "holes"}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(member, io.BytesIO(bytes(512)))
        tar.addfile(tarfile.TarInfo("after"))
    things, troubles = listed(put(tmp_path, out.getvalue()))
    assert [thing.name[-5:] for thing in things] == ["after"] and "with holes" in troubles[0].sentence


def test_an_archive_inside_a_folder_is_a_file_like_others(tmp_path: Path):
    (tmp_path / "store").mkdir()
    path = put(tmp_path / "store", tar_of([("a", b"x")]))
    assert [thing.name for thing in listed(tmp_path / "store")[0]] == [str(path)]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_flipped_bytes_make_the_reader_stumble_or_read_more_than_is_there(data: st.DataObject):
    whole = bytearray(
        tar_of(
            [("a" * 150, b"x" * 600), ("é", b"y" * 10), ("c", b"")], data.draw(st.sampled_from([*FORMS.values()][:2]))
        )
    )
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=12)
    ):
        whole[place] = value
    cut = data.draw(st.integers(0, len(whole)))
    stream = headers.Forward(io.BytesIO(bytes(whole[:cut])), data.draw(st.booleans()))
    for count, found in enumerate(headers.members(stream)):
        assert count < 100
        if isinstance(found, headers.Member):
            assert found.size >= 0 and len(stream.read(min(found.size, 1 << 20))) <= cut
