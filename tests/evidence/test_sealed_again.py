"""Sealing again: by whom, and what whoever does it cannot change."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from amparo.errors import UsedWrongly
from amparo.evidence import bag, custody, package, seal
from amparo.evidence.seal import Seal
from tests.evidence.sealed import (
    BY,
    KEY,
    LATER,
    OTHER_KEY,
    begin,
    copy_of,
    fill,
    first_wrong,
    forge,
    holds,
    sealed,
    snapshot,
)  # fmt: skip

THIRD_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34)))
MINE, THEIRS = (seal.fingerprint(key.public_key()) for key in (KEY, OTHER_KEY))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sealed(tmp_path_factory.mktemp("finished") / "package")


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return copy_of(finished, tmp_path / "package")


def other_report(folder: Path, text: str = "another report") -> dict[str, Path]:
    (folder / "new.html").write_text(text)
    return {"data/report.html": folder / "new.html"}


def plant(root: Path) -> None:
    """Change the tables, as somebody between the search and the court would."""
    database = sqlite3.connect(root / "data" / "evidence.sqlite")
    database.execute("update files set path = 'planted.jpg'")
    database.commit()
    database.close()


def relist(root: Path) -> bytes:
    """The manifest that fits what lies in the package now."""
    entries = [bag.Entry(node.path, bag.digest_of(bag.place(root, node.path))[0]) for node in bag.walk(root)]
    return b"".join(map(bag.line_of, entries))


def seal_again_as_forger(root: Path, **more: object) -> None:
    """Add an act that keeps the examiner's seal, and seal what lies in the package with a key of one's own."""
    details = {
        "why": "report written again", "replaced": {}, "training": False,
        "seal": Seal.read((root / "seal.json").read_bytes()).values,
        "tagmanifest": (root / "tagmanifest-sha256.txt").read_text(), **more,
    }  # fmt: skip
    custody.Ledger(root / "custody.jsonl").add("sealed again", BY, LATER, **details)
    forge(root, OTHER_KEY, manifest=relist(root))


def test_who_seals_again_cannot_change_the_tables_behind_the_examiners_seal(copy: Path):
    plant(copy)
    seal_again_as_forger(copy)
    assert "line 4" in first_wrong(copy) and "more than the report was changed" in first_wrong(copy)
    assert MINE in first_wrong(copy)


def test_who_seals_again_cannot_change_the_tables_and_call_them_a_report(copy: Path):
    was = bag.digest_of(copy / "data" / "evidence.sqlite")[0]
    plant(copy)
    seal_again_as_forger(copy, replaced={"data/evidence.sqlite": was})
    assert "More than the report was replaced" in first_wrong(copy)


@pytest.mark.parametrize("replaced", [None, [], {"data/report.html": 7}, {"data/report.html": "x" * 64}])
def test_an_act_that_does_not_say_what_it_replaced_is_named(copy: Path, replaced: object):
    seal_again_as_forger(copy, replaced=replaced)
    assert "the earlier seal in line 4" in first_wrong(copy)


def test_who_seals_again_can_neither_add_nor_exchange_a_content(finished: Path, tmp_path: Path):
    for name in ("added", "exchanged"):
        copy = copy_of(finished, tmp_path / name)
        content = next((copy / "data" / "gathered").iterdir())
        (content.parent / f"{8:064x}.age").write_bytes(b"x")
        if name == "exchanged":
            content.unlink()
        seal_again_as_forger(copy)
        assert "more than the report was changed" in first_wrong(copy)


def test_a_change_between_two_sealings_again_is_found_in_the_one_that_made_it(copy: Path, tmp_path: Path):
    package.reseal(copy, KEY, LATER, "report written again", BY, other_report(tmp_path, "second"))
    plant(copy)
    seal_again_as_forger(copy)
    assert "more than the report was changed" in first_wrong(copy)


def test_reports_may_be_written_again_any_number_of_times_and_added_later(copy: Path, tmp_path: Path):
    (tmp_path / "new.pdf").write_bytes(b"%PDF-generated")
    for round_ in range(4):
        files = other_report(tmp_path, f"report {round_}")
        if round_ == 2:
            files["data/report.pdf"] = tmp_path / "new.pdf"
        package.reseal(copy, KEY, LATER, "report written again", BY, files)
        assert holds(copy), first_wrong(copy)


def test_a_package_for_training_cannot_lose_its_mark_by_being_sealed_again(tmp_path: Path):
    root = sealed(tmp_path / "package", training=True)
    seal_again_as_forger(root)
    assert "differs on whether the package was made for training" in first_wrong(root)


# Whose package may be sealed again --------------------------------------------------------------------------------


def test_a_strangers_package_is_not_sealed_again_with_ones_own_key(copy: Path, tmp_path: Path):
    plant(copy)
    forge(copy, OTHER_KEY, manifest=relist(copy))
    assert holds(copy)  # for who compares no fingerprint
    before = snapshot(copy)
    with pytest.raises(UsedWrongly, match="not yours"):
        package.reseal(copy, KEY, LATER, "report written again", BY, other_report(tmp_path))
    assert snapshot(copy) == before


def test_a_colleagues_package_is_sealed_again_where_the_fingerprint_was_handed_over(copy: Path, tmp_path: Path):
    report = other_report(tmp_path)
    with pytest.raises(UsedWrongly, match="not yours"):
        package.reseal(copy, OTHER_KEY, LATER, "why", BY, report, expected_key="247f 9527")
    package.reseal(copy, OTHER_KEY, LATER, "why", BY, report, expected_key=MINE.upper().replace(" ", ":"))
    assert holds(copy, THEIRS)
    with pytest.raises(UsedWrongly, match=THEIRS):
        package.reseal(copy, THIRD_KEY, LATER, "why", BY, report, expected_key=MINE)


def test_a_sealing_that_a_stranger_staged_is_not_brought_to_its_end(copy: Path, tmp_path: Path):
    forged = copy_of(copy, tmp_path / "forged")
    plant(forged)
    forge(forged, OTHER_KEY, manifest=relist(forged))
    for name in (*bag.TAGGED, bag.TAGMANIFEST, bag.SEAL):
        (copy / (name + bag.PARTIAL)).write_bytes((forged / name).read_bytes())
    before = snapshot(copy)
    with pytest.raises(UsedWrongly, match=THEIRS):
        package.reseal(copy, KEY, LATER, "report written again", BY, other_report(tmp_path))
    assert snapshot(copy) == before


def test_a_ledger_is_not_touched_by_a_run_that_finds_it_in_use(tmp_path: Path):
    writer = begin(tmp_path / "package")
    fill(writer)
    ledger = tmp_path / "package" / "custody.jsonl"
    ledger.write_bytes(ledger.read_bytes() + b'{"act":"half a l')
    before = ledger.read_bytes()
    code = (
        "import sys; from pathlib import Path; from tests.evidence.sealed import begin\n"
        "begin(Path(sys.argv[1]), resume=True)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "package")], capture_output=True, text=True)
    assert "Another run is writing" in done.stderr
    assert ledger.read_bytes() == before


def test_a_seal_states_a_time_and_no_sentence(copy: Path):
    values = json.loads((copy / "seal.json").read_bytes())
    del values["statement_signature"]
    values["sealed_at"] = "2026-11-24T12:00:00Z. The seal is by the key expected"
    (copy / "seal.json").write_bytes(custody.canonical(seal.sign_statement(KEY, values)) + b"\n")
    assert "seal.json is not a seal as Amparo writes it" in first_wrong(copy)
