"""A disk that fills up while the package is written: one sentence, nothing sealed, and the run goes on once there is room."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from amparo.evidence import package as packages
from tests.evidence.search.running import command, tables
from tests.evidence.search.specimens import FILES, MIB, ntfs
from tests.evidence.source.disks import noise

MANY = {
    **FILES,
    **{f"Users/Ana/Documents/{number:04} {'long name ' * 9}.txt": noise(number, 300) for number in range(400)},
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An image, and the package of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    image = ntfs(folder / "disk.img", MANY, 3 * MIB)
    done = command(image, folder, "--out", folder / "package")
    assert done.returncode == 0, done.stderr
    return image, folder / "package"


def assert_told_in_a_sentence(done: subprocess.CompletedProcess[bytes], package: Path) -> None:
    assert done.returncode == 2, (done.returncode, done.stderr)
    last = done.stderr.decode().strip().splitlines()[-1]
    assert last.startswith("amparo: ") and "--resume" in last, last
    assert b"Traceback" not in done.stderr
    assert not (package / "seal.json").exists()


def assert_the_same(package: Path, other: Path) -> None:
    assert tables(package) == tables(other)
    assert all(finding.ok for finding in packages.verify(package))


@pytest.mark.parametrize("limit", [4 << 10, 48 << 10, 96 << 10, 160 << 10, 256 << 10, 400 << 10])
def test_a_file_that_may_not_grow_stops_the_run_in_a_sentence_and_resume_ends_it(
    limit: int, undisturbed: tuple[Path, Path], tmp_path: Path
) -> None:
    image, whole = undisturbed
    package = tmp_path / "package"
    bounded = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    done = command(image, tmp_path, "--out", package, before=bounded)
    assert_told_in_a_sentence(done, package)
    done = command(image, tmp_path, "--out", package, *(["--resume"] if package.exists() else []))
    assert done.returncode == 0, done.stderr
    assert_the_same(package, whole)


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[Path]:
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("room", [64, 256, 448, 640])
def test_a_full_disk_stops_the_run_in_a_sentence_and_resume_ends_it(
    room: int, undisturbed: tuple[Path, Path], tmp_path: Path
) -> None:
    image, whole = undisturbed
    with small_disk(tmp_path / "disk", room << 10) as disk:
        done = command(image, tmp_path, "--out", disk / "package")
        assert_told_in_a_sentence(done, disk / "package")
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        done = command(image, tmp_path, "--out", disk / "package", "--resume")
        assert done.returncode == 0, done.stderr
        assert_the_same(disk / "package", whole)
