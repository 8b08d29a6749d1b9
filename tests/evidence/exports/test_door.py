"""What all formats share: which packages are exported, where to, and that it is all or nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tracemalloc
from pathlib import Path

import pytest

from amparo.errors import PackageWrong, UsedWrongly
from amparo.evidence.exports import FORMATS, export
from tests.evidence.exports import specimen

ALL = pytest.mark.parametrize("format", FORMATS)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return specimen.make(tmp_path_factory.mktemp("one") / "package")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@ALL
def test_an_export_leaves_the_package_as_it_is_and_nothing_else_beside_it(package: Path, tmp_path: Path, format: str):
    before = contents(package)
    assert export(package, format, tmp_path / "out") > 0
    assert contents(package) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@ALL
def test_the_same_package_gives_the_same_bytes_wherever_it_lies(package: Path, tmp_path: Path, format: str):
    shutil.copytree(package, tmp_path / "copy")
    export(package, format, tmp_path / "a")
    export(tmp_path / "copy", format, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@ALL
def test_training_is_said_in_every_format(tmp_path: Path, format: str):
    training = specimen.make(tmp_path / "training", training=True)
    real = specimen.make(tmp_path / "real")
    export(training, format, tmp_path / "a")
    export(real, format, tmp_path / "b")
    assert "TRAINING" in (tmp_path / "a").read_text("utf-8")
    assert "TRAINING" not in (tmp_path / "b").read_text("utf-8")


@ALL
def test_a_package_without_a_single_file_is_exported(tmp_path: Path, format: str):
    empty = specimen.make(tmp_path / "empty", rows=[])
    assert export(empty, format, tmp_path / "out") == 0
    assert (tmp_path / "out").stat().st_size > 0


@pytest.mark.parametrize("place", ["data/out", "out", "../package/x", "data/../out"])
def test_an_export_into_the_package_is_refused_as_it_would_break_the_seal(package: Path, place: str):
    before = contents(package)
    with pytest.raises(UsedWrongly, match="break its seal"):
        export(package, "csv", package / place)
    assert contents(package) == before


def test_a_link_into_the_package_is_no_way_around(package: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(package / "data")
    with pytest.raises(UsedWrongly, match="break its seal"):
        export(package, "csv", tmp_path / "link" / "out")
    (tmp_path / "dangling").symlink_to(package / "data" / "new")
    with pytest.raises(UsedWrongly, match="break its seal"):
        export(package, "csv", tmp_path / "dangling")
    assert not (package / "data" / "new").exists()


def test_what_is_there_already_is_never_overwritten(package: Path, tmp_path: Path):
    (tmp_path / "out").write_text("another export")
    with pytest.raises(UsedWrongly, match="name another"):
        export(package, "csv", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "another export"
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    with pytest.raises(UsedWrongly, match="name another"):
        export(package, "csv", tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UsedWrongly, match="name another"):
        export(package, "csv", tmp_path / "loop")
    with pytest.raises(UsedWrongly, match="name another"):
        export(package, "csv", tmp_path)


def test_a_missing_folder_is_named(package: Path, tmp_path: Path):
    with pytest.raises(UsedWrongly, match=r"no folder .*absent"):
        export(package, "csv", tmp_path / "absent" / "out")


def test_a_name_as_long_as_a_name_can_be_works(package: Path, tmp_path: Path):
    assert export(package, "csv", tmp_path / ("n" * 255))


def test_an_unknown_format_or_version_is_refused_and_the_known_ones_named(package: Path, tmp_path: Path):
    with pytest.raises(UsedWrongly, match="case, vics, dfxml, timeline, csv"):
        export(package, "pdf", tmp_path / "out")
    with pytest.raises(UsedWrongly, match=r"2\.0, 2\.0-UK, 1\.3"):
        export(package, "vics", tmp_path / "out", "1.4")
    with pytest.raises(UsedWrongly, match="one version only"):
        export(package, "csv", tmp_path / "out", "1")


def test_a_folder_that_is_no_package_is_refused(tmp_path: Path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(PackageWrong, match="not an evidence package"):
            export(folder, "csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_package_that_was_never_finished_is_refused(tmp_path: Path):
    package = specimen.make(tmp_path / "package")
    (package / "manifest-sha256.txt").unlink()
    with pytest.raises(PackageWrong, match="--resume"):
        export(package, "csv", tmp_path / "out")


def test_tables_changed_after_the_seal_are_not_exported(tmp_path: Path):
    package = specimen.make(tmp_path / "package")
    with sqlite3.connect(package / "data/evidence.sqlite") as database:
        database.execute("delete from files where id = 1")
    database.close()
    with pytest.raises(PackageWrong, match="not those that were sealed"):
        export(package, "csv", tmp_path / "out")


def test_tables_changed_together_with_the_manifest_are_not_exported(tmp_path: Path):
    package = specimen.make(tmp_path / "package")
    tags, seal = (package / "tagmanifest-sha256.txt").read_bytes(), (package / "seal.json").read_bytes()
    with sqlite3.connect(package / "data/evidence.sqlite") as database:
        database.execute("delete from files where id = 1")
    database.close()
    specimen.write_manifest(package)
    for kept in ({"tagmanifest-sha256.txt": tags, "seal.json": seal}, {"seal.json": seal}, {"seal.json": b"{}"}):
        for name, raw in kept.items():
            (package / name).write_bytes(raw)
        with pytest.raises(PackageWrong, match="not those that were sealed"):
            export(package, "csv", tmp_path / "out")
        specimen.write_manifest(package)
    export(package, "csv", tmp_path / "out")
    (package / "seal.json").unlink()
    with pytest.raises(PackageWrong, match="--resume"):
        export(package, "csv", tmp_path / "out")


def test_other_tables_are_refused_in_a_sentence(tmp_path: Path):
    package = specimen.make(tmp_path / "package")
    evidence = package / "data/evidence.sqlite"
    for raw in (b"", b"not a database" * 100):
        evidence.write_bytes(raw)
        specimen.write_manifest(package)
        with pytest.raises(PackageWrong, match="not those of a search"):
            export(package, "csv", tmp_path / "out")
    specimen.make(tmp_path / "again", order='{"training": false}')
    with pytest.raises(PackageWrong, match="not those of a search"):
        export(tmp_path / "again", "csv", tmp_path / "out")


@ALL
def test_tables_that_cannot_be_read_to_their_end_leave_no_half_an_export(tmp_path: Path, format: str):
    rows = [
        {"path": f"f{n}", "mime": "image/png", "content": str(n), "modified": "2020-01-01T00:00:00Z"}
        for n in range(3000)
    ]
    package = specimen.make(tmp_path / "package", rows=rows)
    evidence = package / "data/evidence.sqlite"
    raw = bytearray(evidence.read_bytes())
    middle = len(raw) // 8192 * 4096
    raw[middle : middle + 16 * 4096] = os.urandom(16 * 4096)
    evidence.write_bytes(raw)
    specimen.write_manifest(package)
    with pytest.raises(PackageWrong, match="cannot be read"):
        export(package, format, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"package", "order"}


@ALL
def test_memory_does_not_grow_with_the_files(tmp_path: Path, format: str):
    def peak(files: int) -> int:
        rows = [
            {"path": f"Users/ana/{n:06d}.jpg", "mime": "image/jpeg", "content": "same" if n % 2 else str(n), "volume": 1,
             "modified": f"20{n % 90 + 10}-01-01T00:00:00Z", "extents": [[n * 4096, 4096]]}
            for n in range(files)
        ]  # fmt: skip
        package = specimen.make(tmp_path / str(files), rows=rows)
        tracemalloc.start()
        export(package, format, tmp_path / f"out {files}")
        reached = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return reached

    peak(10)  # what is loaded once
    assert peak(4000) < peak(400) + 200_000
