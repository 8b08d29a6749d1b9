"""Hostile packages: nothing in one is followed, waited for, or read without bound, and none raises anything."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import resource
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from amparo.errors import PackageWrong
from amparo.evidence import bag, custody, exports, package, report, seal
from amparo.evidence.seal import Seal
from tests.evidence.sealed import FILES, KEY, copy_of, first_wrong, forge, holds, lines_of, manifest_of, sealed


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sealed(tmp_path_factory.mktemp("finished") / "package")


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return copy_of(finished, tmp_path / "package")


@pytest.mark.parametrize("name", [*FILES, "data", "data/gathered"])
def test_a_link_in_the_place_of_anything_is_refused_even_to_the_same_content(finished: Path, copy: Path, name: str):
    path = copy / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(finished / name)
    said = first_wrong(copy)
    assert (said.startswith(f"{name} is not a f") and "but a link" in said) or (name, said) == (
        "data/gathered", "data/gathered is a link that was added: the manifest does not name it."
    )  # fmt: skip


@pytest.mark.parametrize("name", [*FILES, "data/added"])
def test_a_pipe_is_never_waited_for(copy: Path, name: str):
    (copy / name).unlink(missing_ok=True)
    os.mkfifo(copy / name)
    said = first_wrong(copy)
    assert said.startswith(f"{name} is ") and " a pipe, socket or device" in said


def test_a_file_that_becomes_a_link_or_a_pipe_after_it_was_looked_at_is_not_opened(tmp_path: Path):
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        with pytest.raises(OSError):
            bag.open_plain(tmp_path / name)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_became_larger_than_any_disk_is_not_read_to_its_end(copy: Path, name: str):
    os.truncate(copy / name, 1 << 43)
    begun = time.monotonic()
    assert name in first_wrong(copy)
    assert time.monotonic() - begun < 2


GOOD = hashlib.sha256(b"").hexdigest().encode()


@pytest.mark.parametrize(
    "line",
    [
        b"%s  ../../etc/passwd\n", b"%s  data/../../x\n", b"%s  /etc/passwd\n", b"%s  data//x\n", b"%s  data/./x\n", b"%s  data/a/\n",
        b"%s  data/a%%2e%%2e\n", b"%s  data/%%2E%%2E/x\n", b"%s  data/a%%\n", b"%s  data/%%0a\n", b"%s  data/a\rb\n", b"%s data/x\n",
        b"%s *data/x\n", b"%s  data/x", b"  data/x\n", b"%s  \n", b"\n", b"%s  data/a\0b\n", b"\xef\xbb\xbf%s  data/a\n", b"%s  a\xff\n",
        b"%s  " + b"x" * (1 << 20) + b"\n", b"Z" * 64 + b"  data/a\n", b"# comment\n",
    ],
    ids=range(23),
)  # fmt: skip
def test_a_manifest_with_a_strange_line_is_refused_even_under_a_good_seal(copy: Path, line: bytes):
    text = line.replace(b"%s", GOOD).replace(b"%%", b"%")
    forge(copy, KEY, text + manifest_of(copy))
    assert first_wrong(copy).startswith("manifest-sha256.txt")
    (copy / "manifest-sha256.txt").write_bytes(manifest_of(copy).removeprefix(text))
    forge(copy, KEY, manifest_of(copy) + text)
    assert first_wrong(copy).startswith("manifest-sha256.txt")


@pytest.mark.parametrize("path", ["../../etc/passwd", "data/../../x", "/etc/passwd", "data//x", "data/./x", "data/a/"])
def test_a_manifest_that_points_outside_the_package_is_said_to(copy: Path, path: str):
    forge(copy, KEY, GOOD + b"  " + path.encode() + b"\n" + manifest_of(copy))
    assert "names a place outside the package" in first_wrong(copy)


def test_a_manifest_that_names_a_file_twice_or_out_of_order_is_refused(copy: Path):
    lines = manifest_of(copy).splitlines(keepends=True)
    forge(copy, KEY, b"".join([lines[0], *lines]))
    assert "a second time" in first_wrong(copy)
    forge(copy, KEY, b"".join(reversed(lines)))
    assert "out of order" in first_wrong(copy)


def test_names_that_are_no_text_or_would_move_the_cursor_are_shown_harmlessly(copy: Path):
    for name in (b"caf\xe9", b"\x1b[2Jgone", b"line\nline", b"\xe2\x80\xaereversed"):
        path = os.fsencode(copy / "data") + b"/" + name
        Path(os.fsdecode(path)).touch()
        said = first_wrong(copy)
        assert "was added" in said and said.isprintable()
        Path(os.fsdecode(path)).unlink()


def test_thousands_of_added_files_are_counted_and_not_all_listed(copy: Path):
    for number in range(2000):
        (copy / "data" / f"{number}").touch()
    wrong = [finding for finding in package.verify(copy) if not finding.ok]
    assert len(wrong) == 51 and wrong[-1].what == "1950 more files are wrong."


def test_a_chain_of_folders_deeper_than_a_path_can_be_is_a_finding(copy: Path):
    here = Path.cwd()
    try:
        os.chdir(copy / "data")
        for _ in range(60):
            Path("d" * 200).mkdir()
            os.chdir("d" * 200)
    finally:
        os.chdir(here)
    assert not holds(copy)
    shutil.rmtree(copy / "data")


BOMBS = {
    "nested": b"[" * 900_000,
    "nested objects": b'{"a":' * 180_000,
    "a number": b"9" * 900_000,
    "one line": b"x" * (40 << 20),
    "no text": os.urandom(1 << 20),
    "zeros": bytes(1 << 20),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.parametrize(
    "name", ["seal.json", "custody.jsonl", "manifest-sha256.txt", "tagmanifest-sha256.txt", "bag-info.txt"]
)
def test_a_bomb_in_any_tag_file_costs_little(copy: Path, name: str, bomb: bytes):
    (copy / name).write_bytes(bomb)
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    assert name in first_wrong(copy)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 80 << 10  # KiB
    assert time.monotonic() - begun < 2


def test_thousands_of_random_changes_never_raise_and_never_pass(finished: Path, copy: Path):
    dice = random.Random(77)
    tags = [name for name in FILES if not name.startswith("data/")]
    for _ in range(1500):
        name = dice.choice(tags)
        whole = (finished / name).read_bytes()
        changed = bytearray(whole)
        for _ in range(dice.choice((1, 1, 3, 20))):
            at = dice.randrange(len(changed))
            kind = dice.randrange(4)
            if kind == 0:
                changed[at] = dice.randrange(256)
            elif kind == 1:
                del changed[at : at + dice.randrange(1, 40)]
            elif kind == 2:
                changed[at:at] = dice.randbytes(dice.randrange(1, 20))
            else:
                changed[at:at] = changed[at : at + 50]
            changed = changed or bytearray(b"x")
        if changed != whole:
            (copy / name).write_bytes(changed)
            assert name in first_wrong(copy)
            (copy / name).write_bytes(whole)


def test_a_forger_with_a_key_and_a_strange_ledger_raises_nothing(copy: Path):
    lines = lines_of(copy)
    for details in ({}, {"order": 3, "training": False}, {"order": [], "order_sha256": {}, "training": False}):
        first = custody.canonical({**json.loads(lines[0]), "details": details}) + b"\n"
        rest: list[bytes] = [first]
        for line in lines[1:]:
            rest.append(custody.canonical({**json.loads(line), "previous": custody.digest_of(rest[-1])}) + b"\n")
        forge(copy, KEY, ledger=rest)
        assert not holds(copy)
        for act in (
            {"act": "sealed again", "details": {}},
            {"act": "sealed again", "details": {"seal": {}, "tagmanifest": "x"}},
        ):
            forge(copy, KEY, ledger=[*rest[:2], custody.canonical({**json.loads(rest[2]), **act}) + b"\n"])
            assert not holds(copy)


def test_verifying_writes_nothing(finished: Path):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    assert package.verify(finished) == package.verify(finished)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_a_seal_with_a_time_stamp_that_is_none_is_named(copy: Path):
    tags = (copy / "tagmanifest-sha256.txt").read_bytes()
    values = json.loads((copy / "seal.json").read_bytes())
    values.pop("statement_signature")
    for text in ("AAAA", "not base64", seal.to_base64(b"\x30\x80" * 20_000)):
        statement = seal.sign_statement(KEY, {**values, "time_stamp": text})
        assert Seal.read(custody.canonical(statement) + b"\n").covers(tags)
        (copy / "seal.json").write_bytes(custody.canonical(statement) + b"\n")
        assert "time-stamp" in first_wrong(copy)


@pytest.mark.parametrize(
    "make",
    [
        "drop table files; create view files as with recursive c(n) as (select 1 union all select n + 1 from c) select n as id from c",
        "create view more as select 1",
        "create virtual table more using fts5(x)",
        "create trigger more after insert on run begin select 1; end",
    ],
)
def test_tables_that_would_compute_without_end_are_refused_by_all_who_read_them(copy: Path, tmp_path: Path, make: str):
    path = copy / "data" / "evidence.sqlite"
    database = sqlite3.connect(path)
    database.executescript(make)
    database.close()
    digest = hashlib.sha256(path.read_bytes()).hexdigest().encode()
    forge(copy, KEY, manifest=re.sub(rb"[0-9a-f]{64}(?=  data/evidence.sqlite)", digest, manifest_of(copy)))
    assert "is no table" in first_wrong(copy)
    for read in (
        lambda: exports.export(copy, "csv", tmp_path / "out.csv"),
        lambda: report.write_report(path, tmp_path, "pt", pdf=False),
    ):
        with pytest.raises(PackageWrong, match="is no table"):
            read()
