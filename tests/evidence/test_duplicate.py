"""What is done to a sealed package: its report is written again and sealed again, and it is duplicated with a receipt."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from amparo.errors import PackageWrong, UsedWrongly
from amparo.evidence import bag, package
from tests.evidence.sealed import (
    BY,
    KEY,
    LATER,
    OTHER_KEY,
    bagit_agrees,
    copy_of,
    first_wrong,
    holds,
    sealed,
    sha256sum_agrees,
    snapshot,
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sealed(tmp_path_factory.mktemp("finished") / "package")


# Sealed again ---------------------------------------------------------------------------------------------------


def test_a_report_written_again_is_sealed_again_and_the_earlier_seal_is_kept(finished: Path, tmp_path: Path):
    root = copy_of(finished, tmp_path / "package")
    before = json.loads((root / "seal.json").read_bytes())
    (tmp_path / "new.html").write_text("another report")
    (tmp_path / "new.pdf").write_bytes(b"%PDF-generated")
    report = {"data/report.html": tmp_path / "new.html", "data/report.pdf": tmp_path / "new.pdf"}
    package.reseal(root, KEY, LATER, "report written again", "Rui Exemplo", report)
    assert holds(root) and bagit_agrees(root) and sha256sum_agrees(root)
    assert (root / "data" / "report.html").read_text() == "another report"
    last = json.loads((root / "custody.jsonl").read_bytes().splitlines()[-1])
    assert (last["by"], last["details"]["seal"]) == ("Rui Exemplo", before)
    report.popitem()
    mine = before["fingerprint"]
    package.reseal(root, OTHER_KEY, LATER, "report written again", BY, report, expected_key=mine)
    assert holds(root)
    assert any("sealed 3 times" in finding.what and "other keys" in finding.what for finding in package.verify(root))


def test_a_package_that_does_not_hold_is_not_sealed_again(finished: Path, tmp_path: Path):
    root = copy_of(finished, tmp_path / "package")
    (root / "data" / "report.html").write_text("forged")
    before = snapshot(root)
    with pytest.raises(PackageWrong, match=r"data/report\.html"):
        package.reseal(root, KEY, LATER, "report written again", BY)
    assert snapshot(root) == before


def test_a_file_that_changes_after_it_was_verified_is_not_sealed_as_it_is_then(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = copy_of(finished, tmp_path / "package")
    real = package.verify

    def verified_then_changed(path: Path) -> list[package.Finding]:
        findings = real(path)
        (path / "data" / "evidence.sqlite").write_bytes(b"forged")
        return findings

    with monkeypatch.context() as patch:
        patch.setattr(package, "verify", verified_then_changed)
        package.reseal(root, KEY, LATER, "report written again", BY)
    assert "data/evidence.sqlite was changed" in first_wrong(root)


def test_nothing_but_the_report_of_a_sealed_package_is_replaced(finished: Path, tmp_path: Path):
    before = snapshot(finished)
    for name in ("data/evidence.sqlite", "custody.jsonl", "data/../x", "data/gathered/x.age"):
        with pytest.raises(UsedWrongly, match="Only the report"):
            package.reseal(finished, KEY, LATER, "why", BY, {name: tmp_path})
    assert snapshot(finished) == before


def test_settling_touches_nothing_in_a_folder_that_is_no_package(tmp_path: Path):
    for name in ("film.mkv.partial", "seal.json.partial", "bagit.txt"):
        (tmp_path / name).touch()
    before = snapshot(tmp_path)
    bag.settle(tmp_path)
    assert snapshot(tmp_path) == before


# Duplicated -----------------------------------------------------------------------------------------------------


def test_a_duplicate_is_the_same_to_the_last_byte_and_its_receipt_says_who_has_it(finished: Path, tmp_path: Path):
    before = snapshot(finished)
    receipt = package.duplicate(finished, tmp_path / "usb", OTHER_KEY, LATER, to="Secretaria do Tribunal de Exemplo")
    assert snapshot(finished) == before == snapshot(tmp_path / "usb")
    assert holds(tmp_path / "usb") and bagit_agrees(tmp_path / "usb")
    assert receipt == tmp_path / "usb.receipt.json"
    assert all(finding.ok for finding in package.check_receipt(receipt, tmp_path / "usb"))
    text = receipt.with_suffix(".txt").read_text("utf-8")
    assert "Secretaria do Tribunal de Exemplo" in text and "123/26.0JAEXP" in text
    assert json.loads(receipt.read_bytes())["tagmanifest_sha256"] in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["usb", "usb.receipt.json", "usb.receipt.txt"]


def test_a_receipt_that_was_changed_or_speaks_of_another_package_is_found(finished: Path, tmp_path: Path):
    receipt = package.duplicate(finished, tmp_path / "usb", KEY, LATER, to="Secretaria")
    whole = receipt.read_bytes()
    for at in range(len(whole)):
        receipt.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert not all(finding.ok for finding in package.check_receipt(receipt))
    receipt.write_bytes(whole)
    other = sealed(tmp_path / "other", training=True)
    assert "another package" in package.check_receipt(receipt, other)[-1].what
    for hostile in (b"[" * 100_000, b"{}", b"\xff", b"null"):
        receipt.write_bytes(hostile)
        assert [finding.ok for finding in package.check_receipt(receipt)] == [False]
    assert [finding.ok for finding in package.check_receipt(tmp_path / "absent")] == [False]


def test_a_package_that_does_not_hold_is_not_duplicated(finished: Path, tmp_path: Path):
    root = copy_of(finished, tmp_path / "package")
    (root / "data" / "added").touch()
    with pytest.raises(PackageWrong, match="data/added"):
        package.duplicate(root, tmp_path / "usb", KEY, LATER)
    assert not (tmp_path / "usb").exists()


def test_a_disk_that_writes_something_else_is_noticed_and_nothing_is_left(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = shutil.copyfileobj

    def faulty(source: object, target: object, length: int = 0) -> None:
        real(source, target, length)  # type: ignore[arg-type]
        if "report.html" in str(target.name):  # type: ignore[attr-defined]
            target.seek(3)  # type: ignore[attr-defined]
            target.write(b"\0")  # type: ignore[attr-defined]

    monkeypatch.setattr(shutil, "copyfileobj", faulty)
    with pytest.raises(PackageWrong, match="use another disk"):
        package.duplicate(finished, tmp_path / "usb", KEY, LATER)
    assert not list(tmp_path.iterdir())


def test_a_duplicate_goes_only_where_nothing_is(finished: Path, tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    for out in (
        tmp_path / "full",
        tmp_path / "full" / "x",
        tmp_path / "no" / "such",
        finished / "data" / "inside",
        finished,
    ):
        with pytest.raises(UsedWrongly):
            package.duplicate(finished, out, KEY, LATER)
    (tmp_path / "empty").mkdir()
    package.duplicate(finished, tmp_path / "empty", KEY, LATER)
    assert holds(tmp_path / "empty")


def test_at_the_root_of_a_disk_the_duplicate_is_a_folder(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "usb" / "lost+found").mkdir(parents=True)
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path / "usb")
    receipt = package.duplicate(finished, tmp_path / "usb", KEY, LATER)
    assert receipt == tmp_path / "usb" / "package.receipt.json" and holds(tmp_path / "usb" / "package")
