"""Packages: begun, stopped at any point, resumed, sealed, sealed again, duplicated; other programs agree that they are bags."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from amparo.errors import UsedWrongly
from amparo.evidence import package
from tests.evidence.sealed import (
    BY,
    KEY,
    LATER,
    acts,
    bagit_agrees,
    begin,
    copy_of,
    fill,
    first_wrong,
    holds,
    order_in,
    sealed,
    sha256sum_agrees,
    snapshot,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sealed(tmp_path_factory.mktemp("finished") / "package")


# Begun and finished ---------------------------------------------------------------------------------------------


def test_a_finished_package_holds_and_two_other_programs_agree(finished: Path):
    assert holds(finished) and bagit_agrees(finished) and sha256sum_agrees(finished)
    assert acts(finished) == ["begun", "searched", "sealed"]
    assert {path.name for path in finished.iterdir()} == {
        "bagit.txt", "bag-info.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt", "custody.jsonl", "seal.json", "data",
    }  # fmt: skip


def test_the_bag_says_whose_it_is_and_what_it_weighs(finished: Path):
    lines = (finished / "bag-info.txt").read_text("utf-8").splitlines()
    size = sum(path.stat().st_size for path in (finished / "data").rglob("*") if path.is_file())
    assert {
        "Source-Organization: Polícia de Exemplo",
        "External-Identifier: 123/26.0JAEXP / AP-7",
        "Bagging-Date: 2026-11-24",
        f"Payload-Oxum: {size}.3",
        "Amparo-Training: no",
    } <= set(lines)


def test_only_its_owner_can_open_the_package(finished: Path):
    assert finished.stat().st_mode & 0o077 == 0


def test_a_training_package_says_so_in_every_place(tmp_path: Path):
    root = sealed(tmp_path / "package", training=True)
    assert package.verify(root)[-1].what.startswith("TRAINING")
    assert "Amparo-Training: TRAINING" in (root / "bag-info.txt").read_text()
    assert json.loads((root / "seal.json").read_bytes())["training"] is True


def test_names_that_a_manifest_must_encode_are_encoded_as_the_bag_standard_says(tmp_path: Path):
    writer = begin(tmp_path / "package")
    fill(writer)
    for name in ("a\nb", "c\rd", "100%", "%0A", "ção", " space ", "a.txt", "a/b", "back\\slash"):
        path = writer.data / "names" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    writer.finish(KEY, LATER)
    assert holds(tmp_path / "package")
    manifest = (tmp_path / "package" / "manifest-sha256.txt").read_text("utf-8")
    assert "data/names/a%0Ab\n" in manifest and "data/names/%250A\n" in manifest and "data/names/100%25\n" in manifest


def test_an_empty_folder_is_left_out_of_the_bag(tmp_path: Path):
    writer = begin(tmp_path / "package")
    fill(writer)
    (writer.data / "empty" / "below").mkdir(parents=True)
    writer.finish(KEY, LATER)
    assert not (writer.data / "empty").exists() and holds(tmp_path / "package")


@pytest.mark.parametrize("stray", ["work.sqlite", "notes.txt", "folder"])
def test_what_is_no_part_of_a_package_stops_its_sealing(tmp_path: Path, stray: str):
    writer = begin(tmp_path / "package")
    fill(writer)
    (tmp_path / "package" / stray).mkdir() if stray == "folder" else (tmp_path / "package" / stray).touch()
    with pytest.raises(UsedWrongly, match=stray):
        writer.finish(KEY, LATER)
    assert not (tmp_path / "package" / "seal.json").exists()


def test_a_link_in_the_payload_stops_its_sealing(tmp_path: Path):
    writer = begin(tmp_path / "package")
    fill(writer)
    (writer.data / "link").symlink_to("/etc/passwd")
    with pytest.raises(UsedWrongly, match="data/link is a link"):
        writer.finish(KEY, LATER)


# Where it may lie -----------------------------------------------------------------------------------------------


def test_a_package_may_be_begun_in_an_empty_folder_and_in_none_that_is_not(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    begin(tmp_path / "empty").close()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "holiday.txt").touch()
    for resume in (False, True):
        with pytest.raises(UsedWrongly, match="choose another --out"):
            begin(tmp_path / "full", resume=resume)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["holiday.txt"]


def test_an_unfinished_package_is_not_begun_again_without_asking(tmp_path: Path):
    begin(tmp_path / "package").close()
    with pytest.raises(UsedWrongly, match="--resume"):
        begin(tmp_path / "package")


def test_a_sealed_package_is_neither_begun_nor_resumed(finished: Path):
    before = snapshot(finished)
    for resume in (False, True):
        with pytest.raises(UsedWrongly, match="finished and sealed"):
            begin(finished, resume=resume)
    assert snapshot(finished) == before


def test_a_package_is_resumed_under_its_own_order_only(tmp_path: Path):
    begin(tmp_path / "package").close()
    before = snapshot(tmp_path / "package")
    with pytest.raises(UsedWrongly, match="Despacho 14/2026"):
        begin(tmp_path / "package", resume=True, reference="Despacho 15/2026")
    with pytest.raises(UsedWrongly, match="another order"):
        package.PackageWriter.begin(
            tmp_path / "package", order_in(tmp_path), now=LATER, by=BY, training=True, resume=True
        )
    assert snapshot(tmp_path / "package") == before


def test_a_run_stopped_before_its_first_act_is_begun_by_resuming_it(tmp_path: Path):
    for leftovers in ([], ["bagit.txt"], ["bagit.txt", "custody.jsonl"]):
        root = tmp_path / str(len(leftovers))
        root.mkdir()
        for name in leftovers:
            (root / name).touch()
        writer = begin(root, resume=True)
        fill(writer)
        writer.finish(KEY, LATER)
        assert acts(root)[0] == "begun" and holds(root)
    writer = begin(tmp_path / "absent", resume=True)
    assert acts(tmp_path / "absent") == ["begun"]
    writer.close()


def test_two_runs_do_not_write_one_package(tmp_path: Path):
    writer = begin(tmp_path / "package")
    code = (
        "import sys; from pathlib import Path; from tests.evidence.sealed import begin\n"
        "try: begin(Path(sys.argv[1]), resume=True)\nexcept Exception as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "package")]
    assert "Another run" in subprocess.run(command, capture_output=True, text=True).stdout
    writer.close()
    assert subprocess.run(command, capture_output=True, text=True).stdout == ""


# Stopped at any point -------------------------------------------------------------------------------------------


class PulledOut(BaseException):
    """The disk went away, the power failed, the process was killed: nothing after this runs."""


@pytest.mark.parametrize("verb", ["finish", "reseal"])
def test_wherever_sealing_is_stopped_it_goes_on_or_never_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
):
    start = tmp_path / "start"
    if verb == "finish":
        writer = begin(start)
        fill(writer)
        writer.close()
    else:
        sealed(start)
    (tmp_path / "new.html").write_text("another report")
    report = {"data/report.html": tmp_path / "new.html"}
    real = {name: getattr(os, name) for name in ("fsync", "replace", "unlink")}
    for stop in range(1, 80):
        root, calls = copy_of(start, tmp_path / "copy"), 0

        def counted(name: str, *arguments: object) -> object:
            nonlocal calls
            calls += 1
            if calls >= stop:  # noqa: B023
                raise PulledOut
            return real[name](*arguments)

        with monkeypatch.context() as patch:
            for name in real:
                patch.setattr(os, name, lambda *arguments, name=name: counted(name, *arguments))
            try:
                if verb == "finish":
                    begin(root, resume=True).finish(KEY, LATER)
                else:
                    package.reseal(root, KEY, LATER, "report written again", BY, report)
                break
            except PulledOut:
                pass
        if verb == "finish":
            try:
                begin(root, resume=True).finish(KEY, LATER)
            except UsedWrongly as error:  # everything was on the disk: only the last names had to change
                assert "finished and sealed" in str(error)
        else:
            package.settle(root)
            assert (root / "data/report.html").read_text() in (
                "<!doctype html><title>generated</title>\n",
                "another report",
            )
        assert first_wrong(root) == ""
    else:
        pytest.fail("sealing never came to its end")
    assert stop > 10 and holds(root)


def test_a_full_disk_passes_as_an_error_and_the_package_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    writer = begin(tmp_path / "package")
    fill(writer)
    real = os.fsync

    def full(descriptor: int) -> None:
        if "tagmanifest" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError) as raised:
            writer.finish(KEY, LATER)
    assert raised.value.errno == errno.ENOSPC
    assert acts(tmp_path / "package") == ["begun", "searched"]
    assert not list((tmp_path / "package").glob("*.partial"))
    writer.close()
    begin(tmp_path / "package", resume=True).finish(KEY, LATER)
    assert holds(tmp_path / "package")
    assert acts(tmp_path / "package") == ["begun", "searched", "resumed", "sealed"]


def test_a_half_encrypted_content_is_removed_on_resuming(tmp_path: Path):
    writer = begin(tmp_path / "package")
    fill(writer)
    (writer.data / "gathered" / "0123.partial").write_bytes(b"half")
    writer.close()
    begin(tmp_path / "package", resume=True).finish(KEY, LATER)
    assert holds(tmp_path / "package") and not list(writer.data.rglob("*.partial"))
