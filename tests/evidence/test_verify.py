"""Tampering: whatever was done to a package, the first thing that is wrong is named, and a hostile one harms nothing."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from amparo.evidence import bag, custody, package
from amparo.evidence.seal import fingerprint
from tests.evidence.sealed import (
    BY,
    FILES,
    KEY,
    NOON,
    OTHER_KEY,
    begin,
    copy_of,
    fill,
    first_wrong,
    forge,
    holds,
    lines_of,
    sealed,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sealed(tmp_path_factory.mktemp("finished") / "package")


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return copy_of(finished, tmp_path / "package")


# Every byte -----------------------------------------------------------------------------------------------------


def test_any_byte_changed_added_or_taken_away_anywhere_is_named(finished: Path, copy: Path):
    dice = random.Random(2026)
    for name in FILES:
        path, whole = copy / name, (finished / name).read_bytes()
        places = range(len(whole)) if len(whole) < 60 else dice.sample(range(len(whole)), 60)
        for at in [0, len(whole) - 1, *places]:
            flipped = whole[:at] + bytes([whole[at] ^ 1 << dice.randrange(8)]) + whole[at + 1 :]
            for content in (flipped, whole[:at] + whole[at + 1 :], whole[:at] + b"0" + whole[at:]):
                if content == whole:
                    continue
                path.write_bytes(content)
                said = first_wrong(copy)
                assert name in said, f"{name} at {at}: {said!r}"
        path.write_bytes(whole)
    assert holds(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_file_taken_away_emptied_or_cut_is_named(copy: Path, name: str):
    whole = (copy / name).read_bytes()
    for content in (b"", whole[: len(whole) // 2]):
        (copy / name).write_bytes(content)
        assert name in first_wrong(copy)
    (copy / name).unlink()
    assert name in first_wrong(copy)


@pytest.mark.parametrize(
    "name",
    [
        "added", "data/added", "data/gathered/added.age", "data/evidence.sqlite-wal", "bagit.txt~", ".hidden", "data/.hidden",
        "fetch.txt", "manifest-md5.txt", "data/REPORT.HTML", "Data", "data/report.html.partial", "seal.json.partial",
    ],
)  # fmt: skip
def test_a_file_added_anywhere_is_named(copy: Path, name: str):
    (copy / name).touch()
    assert name in first_wrong(copy) or (name == "seal.json.partial" and "cut short" in first_wrong(copy))


@pytest.mark.parametrize("name", ["added", "data/added", "data/gathered/a/b", ".Trash", "data/report"])
def test_an_empty_folder_added_anywhere_is_named(copy: Path, name: str):
    (copy / name).mkdir(parents=True)
    assert name in first_wrong(copy)


def test_two_files_that_changed_names_are_named(copy: Path):
    data = copy / "data"
    (data / "report.html").rename(data / "x")
    shutil.copy(data / "evidence.sqlite", data / "report.html")
    assert "data/report.html was changed" in first_wrong(copy)
    (data / "report.html").unlink()
    (data / "x").rename(data / "Report.html")
    said = [finding.what for finding in package.verify(copy) if not finding.ok]
    assert "data/Report.html is a file that was added" in said[0] and said[1] == "data/report.html is missing."


# The ledger -----------------------------------------------------------------------------------------------------


def edited(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1].replace(b'"live":1', b'"live":0'), lines[2]]


def renumbered(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2].replace(b'"number":3', b'"number":2')]


def rewritten(lines: list[bytes]) -> list[bytes]:
    new: list[bytes] = []
    for line in lines:
        previous = custody.digest_of(new[-1]) if new else custody.NOTHING_BEFORE
        new.append(custody.canonical({**json.loads(line), "by": "Somebody Else", "previous": previous}) + b"\n")
    return new


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (edited, "line 3 does not follow"),
        (lambda lines: [lines[0], lines[2]], "line 2 says that it is act 3"),
        (lambda lines: [lines[1], lines[0], lines[2]], "line 1 says that it is act 2"),
        (renumbered, "line 2 does not follow"),
        (lambda lines: lines[:2], "was cut: it holds 2 acts, and 3 were sealed"),
        (lambda lines: [], "was cut: it holds 0 acts"),
        (rewritten, "written anew"),
        (lambda lines: [*lines, lines[2]], "line 4 says that it is act 3"),
        (lambda lines: [b"".join(lines).rstrip(b"\n")], "changed"),
    ],
    ids=["edited", "deleted", "swapped", "renumbered", "cut", "emptied", "rewritten", "repeated", "its last line end"],
)  # fmt: skip
def test_every_way_to_tamper_with_the_ledger_is_named(
    copy: Path, tamper: Callable[[list[bytes]], list[bytes]], said: str
):
    (copy / "custody.jsonl").write_bytes(b"".join(tamper(lines_of(copy))))
    assert said in first_wrong(copy) and "custody.jsonl" in first_wrong(copy)


def test_an_act_that_follows_but_came_after_the_seal_is_named(copy: Path):
    custody.Ledger(copy / "custody.jsonl").add("forged", BY, NOON)
    assert "line 4 was added: 3 acts were sealed" in first_wrong(copy)


def test_an_earlier_seal_that_does_not_fit_what_was_before_it_is_named(copy: Path):
    package.reseal(copy, KEY, NOON, "report written again", BY)
    assert holds(copy)
    lines = lines_of(copy)
    act = json.loads(lines[3])
    act["details"]["tagmanifest"] = act["details"]["tagmanifest"].replace("  bagit.txt", "  bagit.TXT")
    forge(copy, KEY, ledger=[*lines[:3], custody.canonical(act) + b"\n"])
    assert "the earlier seal in line 4" in first_wrong(copy)


def test_an_earlier_seal_of_another_ledger_is_named(copy: Path, tmp_path: Path):
    other = begin(tmp_path / "other")
    fill(other)
    other.ledger.add("looked at", BY, NOON)
    other.finish(KEY, NOON)
    package.reseal(copy, KEY, NOON, "report written again", BY)
    lines = lines_of(copy)
    act = json.loads(lines[3])
    act["details"]["seal"] = json.loads((tmp_path / "other" / "seal.json").read_bytes())
    act["details"]["tagmanifest"] = (tmp_path / "other" / "tagmanifest-sha256.txt").read_text()
    forge(copy, KEY, ledger=[*lines[:3], custody.canonical(act) + b"\n"])
    assert "the earlier seal in line 4" in first_wrong(copy)


@pytest.mark.parametrize("tags", [bag.TAGGED[:3], (*bag.TAGGED, "seal.json"), ()])
def test_a_tag_manifest_that_covers_less_or_more_is_refused_even_under_a_good_seal(copy: Path, tags: tuple[str, ...]):
    forge(copy, KEY, tags=tags)
    assert "tagmanifest-sha256.txt does not name the four files" in first_wrong(copy)


# Whose seal -----------------------------------------------------------------------------------------------------


def test_a_package_sealed_anew_by_somebody_else_holds_only_for_who_does_not_compare_the_key(copy: Path):
    (copy / "data" / "report.html").write_text("forged")
    manifest = b"".join(
        hashlib.sha256((copy / "data" / name).read_bytes()).hexdigest().encode() + b"  data/" + name.encode() + b"\n"
        for name in ("evidence.sqlite", f"gathered/{7:064x}.age", "report.html")
    )
    forge(copy, OTHER_KEY, manifest)
    assert "not by the one expected" in first_wrong(copy, fingerprint(KEY.public_key()))
    said = [finding.what for finding in package.verify(copy)]
    assert any("cannot vouch for its own key" in what and fingerprint(OTHER_KEY.public_key()) in what for what in said)


def test_the_examiners_key_is_known_however_its_fingerprint_is_written(finished: Path):
    known = fingerprint(KEY.public_key())
    assert holds(finished, known) and holds(finished, known.upper().replace(" ", "")) and not holds(finished, "")


def test_a_seal_taken_from_another_package_is_named(copy: Path, tmp_path: Path):
    other = begin(tmp_path / "other")
    fill(other)
    other.ledger.add("looked at", BY, NOON)
    other.finish(KEY, NOON)
    shutil.copy(tmp_path / "other" / "seal.json", copy / "seal.json")
    assert "tagmanifest-sha256.txt is not the one that was sealed" in first_wrong(copy)


def test_a_training_mark_cannot_be_taken_off(tmp_path: Path):
    root = sealed(tmp_path / "package", training=True)
    forge(root, KEY)  # even by who holds the key: the seal then says other than the ledger
    assert "training" in first_wrong(root)


# What is no package ---------------------------------------------------------------------------------------------


def test_an_unfinished_package_is_said_in_one_sentence(tmp_path: Path):
    begin(tmp_path / "package")
    (finding,) = package.verify(tmp_path / "package")
    assert not finding.ok and "never finished" in finding.what and "--resume" in finding.what


def test_what_is_no_package_is_said_in_one_sentence(tmp_path: Path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file", tmp_path / "absent", Path("/dev/null"), tmp_path / "a\0b"):
        (finding,) = package.verify(path)
        assert not finding.ok


def test_tables_that_are_damaged_or_name_another_order_are_named(tmp_path: Path):
    for number, change in enumerate(("update run set value = 'x'", "delete from run", "drop table run")):
        writer = begin(tmp_path / str(number))
        fill(writer)
        with sqlite3.connect(writer.data / "evidence.sqlite") as database:
            database.execute(change)
        database.close()
        writer.finish(KEY, NOON)
        assert "data/evidence.sqlite" in first_wrong(tmp_path / str(number))
    writer = begin(tmp_path / "torn")
    fill(writer)
    content = bytearray((writer.data / "evidence.sqlite").read_bytes())
    content[4096 * 2 : 4096 * 3] = random.Random(1).randbytes(4096)
    (writer.data / "evidence.sqlite").write_bytes(content)
    writer.finish(KEY, NOON)
    assert "damaged" in first_wrong(tmp_path / "torn")
