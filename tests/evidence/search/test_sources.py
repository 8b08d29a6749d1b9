"""Sources that are odd, empty, unreadable, half broken, or gone in the middle; and places where a package cannot lie."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from amparo.errors import AmparoError, SourceUnreadable, UsedWrongly
from amparo.evidence import package as packages
from amparo.evidence.examination import examine
from tests.evidence.search.running import NOON, Quiet, command, digests, examined, problems, request, rows, snapshot
from tests.evidence.search.specimens import FILES, MIB, ext2, ntfs
from tests.evidence.source.disks import ext, noise
from tests.evidence.source.images import CHUNK, place, segments, spoil


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def folder(path: Path, files: dict[str, bytes] | None = None) -> Path:
    return ext.tree(path, FILES if files is None else files)


def holds(package: Path) -> bool:
    return all(finding.ok for finding in packages.verify(package))


# Folders ----------------------------------------------------------------------------------------------------------------


def test_links_pipes_sockets_and_devices_in_a_folder_are_never_opened(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    (source / "circle").symlink_to(".")
    (source / "Users" / "up").symlink_to("..")
    (source / "self").symlink_to("self")
    (source / "secret").symlink_to("/etc/passwd")
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(source)
        listening.bind("socket")
        os.chdir(Path(__file__).parent)
        with contextlib.suppress(PermissionError):
            os.mknod(source / "zero", 0o020666, os.makedev(1, 5))
        outcome, package = examined(source, tmp_path)
    assert outcome.exit_code == 0
    found = digests(package)
    assert found == {
        **{name: sha(content) for name, content in FILES.items()}, "circle": sha(b"."), "Users/up": sha(b".."),
        "self": sha(b"self"), "secret": sha(b"/etc/passwd"),
        "Users/Ana/letters.zip/one.txt": sha(b"dear reader, " * 40),
        "Users/Ana/letters.zip/deep/two.zip": found["Users/Ana/letters.zip/deep/two.zip"],
        "Users/Ana/letters.zip/deep/two.zip/three": sha(b"3" * 99),
    }  # fmt: skip
    assert holds(package)


def test_a_folder_is_left_as_it_was_and_nothing_is_written_beside_the_package(tmp_path: Path) -> None:
    folder(tmp_path / "source")
    (tmp_path / "source" / "deep.zip").write_bytes(FILES["Users/Ana/letters.zip"])
    (tmp_path / "home").mkdir()
    first = command(tmp_path / "source", tmp_path, "--out", tmp_path / "first")  # makes the key that seals
    assert first.returncode == 0, first.stderr
    shutil.rmtree(tmp_path / "first")
    before = snapshot(tmp_path)
    accessed = [path.stat().st_atime_ns for path in sorted((tmp_path / "source").rglob("*")) if path.is_file()]
    second = command(tmp_path / "source", tmp_path, "--out", tmp_path / "package")
    assert second.returncode == 0, second.stderr
    assert accessed == [path.stat().st_atime_ns for path in sorted((tmp_path / "source").rglob("*")) if path.is_file()]
    after = snapshot(tmp_path, "package")
    order = [name for name in before if name == "order.toml"]
    assert {name: state for name, state in after.items() if name not in order} == {
        name: state for name, state in before.items() if name not in order
    }


def test_an_empty_folder_gives_an_empty_package_that_holds(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    outcome, package = examined(tmp_path / "source", tmp_path)
    assert outcome.exit_code == 0
    assert digests(package) == {}
    assert holds(package)


# Root may open everything, unless it gives up the capabilities 1 and 2 (capabilities(7): DAC_OVERRIDE, DAC_READ_SEARCH).
_LESS_THAN_ROOT = """
import ctypes
libc, head, sets = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert libc.capget(head, sets) == 0
sets[0] &= ~6
assert libc.capset(head, sets) == 0
"""


def test_a_directory_without_permission_is_a_problem_and_the_rest_is_read(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    (source / "Windows").chmod(0)
    (source / "readme.txt").chmod(0)
    done = command(source, tmp_path, "--out", tmp_path / "package", before=_LESS_THAN_ROOT if os.getuid() == 0 else "")
    (source / "Windows").chmod(0o755)
    assert done.returncode == 5, done.stderr
    package = tmp_path / "package"
    told = problems(package)
    assert any("Windows" in message and "Permission denied" in message for _, _, message in told)
    assert any(path == "readme.txt" and "Permission denied" in message for _, path, message in told)
    assert digests(package)["Users/Ana/Pictures/noise.jpg"] == sha(FILES["Users/Ana/Pictures/noise.jpg"])


class _Meddler(Quiet):
    """Does something to the source when a stage begins."""

    def __init__(self, stage: str, meddle: object) -> None:
        super().__init__()
        self._stage, self._meddle = stage, meddle

    def stage(self, name: str, files: int, size: int) -> None:
        if name == self._stage:
            assert callable(self._meddle)
            self._meddle()


def test_files_that_vanish_or_change_kind_before_they_are_read_are_problems(tmp_path: Path) -> None:
    source = folder(tmp_path / "source", {f"{number:03}.bin": noise(number, 3_000) for number in range(40)})

    def meddle() -> None:
        for number in range(0, 20):
            (source / f"{number:03}.bin").unlink()
        (source / "020.bin").unlink()
        os.mkfifo(source / "020.bin")
        (source / "021.bin").unlink()
        (source / "021.bin").symlink_to("/etc/passwd")
        (source / "022.bin").unlink()
        (source / "022.bin").mkdir()
        (source / "023.bin").write_bytes(b"cut")

    outcome = examine(request(source, tmp_path), _Meddler("read", meddle), lambda: NOON)
    assert outcome.exit_code == 5
    found = digests(tmp_path / "package")
    for number in range(24, 40):
        assert found[f"{number:03}.bin"] == sha(noise(number, 3_000))
    assert all(found[f"{number:03}.bin"] is None for number in range(23))
    told = {path for stage, path, _ in problems(tmp_path / "package") if stage == "read"}
    assert told == {f"{number:03}.bin" for number in range(24)}
    assert holds(tmp_path / "package")


@pytest.mark.parametrize("stage", ["list", "read", "carve", "confirm"])
def test_a_disk_that_is_pulled_out_in_the_middle_is_told_and_the_package_is_sealed(stage: str, tmp_path: Path) -> None:
    image = ntfs(tmp_path / "disk.img")
    asked = request(image, tmp_path, source_digest="both")
    outcome = examine(asked, _Meddler(stage, image.unlink), lambda: NOON)
    assert outcome.exit_code == 5
    assert problems(tmp_path / "package")
    assert holds(tmp_path / "package")


def test_a_folder_that_is_gone_before_it_is_listed_is_told(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    outcome = examine(request(source, tmp_path), _Meddler("list", lambda: shutil.rmtree(source)), lambda: NOON)
    assert outcome.exit_code == 5


# Places -----------------------------------------------------------------------------------------------------------------


def test_a_package_inside_the_source_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    (tmp_path / "other").symlink_to(source / "Users")
    before = snapshot(tmp_path, "order.toml")
    for out in ("source/package", "other/package", "source", "source/../source/x/y"):
        with pytest.raises(UsedWrongly, match="inside the source"):
            examined(source, tmp_path, out)
    assert snapshot(tmp_path, "order.toml") == before


def test_a_package_that_would_lie_over_its_own_image_is_refused(tmp_path: Path) -> None:
    image = ext2(tmp_path / "disk.img")
    before = image.read_bytes()
    with pytest.raises((AmparoError, OSError)):
        examined(image, tmp_path, "disk.img")
    assert image.read_bytes() == before


def test_a_folder_with_other_things_in_it_is_not_taken_for_a_package(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "holiday.txt").write_text("mine")
    with pytest.raises(UsedWrongly, match="holds no package"):
        examined(source, tmp_path)
    assert [path.name for path in (tmp_path / "package").iterdir()] == ["holiday.txt"]


def test_a_finished_package_is_never_written_to_again(tmp_path: Path) -> None:
    source = folder(tmp_path / "source")
    _, package = examined(source, tmp_path)
    before = snapshot(package)
    for resume in (False, True):
        with pytest.raises(UsedWrongly, match="finished"):
            examined(source, tmp_path, resume=resume)
    assert snapshot(package) == before


@pytest.mark.parametrize("what", ["missing", "empty", "pipe", "null"])
def test_what_is_no_source_is_refused_and_leaves_no_package(what: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    if what == "empty":
        source.touch()
    elif what == "pipe":
        os.mkfifo(source)
    elif what == "null":
        source = Path(os.devnull)
    with pytest.raises(SourceUnreadable):
        examined(source, tmp_path)
    assert not (tmp_path / "package").exists()


# Damaged media ----------------------------------------------------------------------------------------------------------


def test_a_read_error_in_the_middle_is_logged_and_filled_and_the_neighbours_are_intact(tmp_path: Path) -> None:
    files = {
        "before.bin": noise("before", 90_000),
        "across.bin": noise("across", 150_000),
        "after.bin": noise("after", 90_000),
    }
    image = ntfs(tmp_path / "disk.img", files, 2 * MIB)
    whole = image.read_bytes()
    _, undisturbed = examined(image, tmp_path, "undisturbed")
    image.unlink()
    (path,) = segments(tmp_path, whole, each=100, store=True)
    at = whole.index(files["across.bin"][60_000:60_100]) // CHUNK * CHUNK  # a chunk that lies wholly in the file
    spoil(path, place(path, b"sectors") + 76 + at // CHUNK * (CHUNK + 4) + 1_000)
    outcome, package = examined(path, tmp_path, carve=False)
    assert outcome.exit_code == 5
    ((extents,),) = rows(package, "select extents from files where path = 'across.bin'")
    places = [offset + inner for offset, length in json.loads(extents) for inner in range(length)]
    assert places[0] == whole.index(files["across.bin"][:100])
    filled = bytes(0 if at <= where < at + CHUNK else whole[where] for where in places)
    lost = sum(at <= where < at + CHUNK for where in places)
    found, expected = digests(package), digests(undisturbed)
    assert found.pop("across.bin") == sha(filled)
    assert expected.pop("across.bin") == sha(files["across.bin"])
    assert found == {name: digest for name, digest in expected.items() if not name.startswith("$Carved")}
    assert [message for _, path, message in problems(package) if path == "across.bin"] == [
        f"{lost} bytes cannot be read and were taken as zeros, the first at byte {at} of the volume."
    ]
    assert holds(package)


def test_a_part_of_a_split_image_that_was_cut_short_moves_nothing_behind_it(tmp_path: Path) -> None:
    files = {f"{number}.bin": noise(number, 60_000) for number in range(8)}
    whole = ntfs(tmp_path / "disk.img", files, 2 * MIB).read_bytes()
    _, undisturbed = examined(tmp_path / "disk.img", tmp_path, "undisturbed")
    (tmp_path / "disk.img").unlink()
    step = 128 << 10
    for number in range(16):
        part = whole[number * step : (number + 1) * step]
        (tmp_path / f"disk.{number + 1:03}").write_bytes(part[:-90_000] if number == 2 else part)
    outcome, package = examined(tmp_path / "disk.001", tmp_path)
    assert outcome.exit_code == 5
    assert any("cut in copying" in message for _, _, message in problems(package))
    found, expected = digests(package), digests(undisturbed)
    intact = [name for name in files if found[name] == expected[name]]
    assert 3 <= len(intact) < 8
    damaged = {path for stage, path, message in problems(package) if stage == "read" and "taken as zeros" in message}
    assert {name for name in files if name not in intact} <= damaged


def test_an_image_cut_short_tells_so_and_what_is_there_is_read(tmp_path: Path) -> None:
    image = ntfs(tmp_path / "disk.img", FILES, 2 * MIB)
    with image.open("r+b") as file:
        file.truncate(MIB + 4321)
    outcome, package = examined(image, tmp_path)
    assert outcome.exit_code in (0, 5)
    assert digests(package)["Users/Ana/Pictures/noise.jpg"] == sha(FILES["Users/Ana/Pictures/noise.jpg"])
