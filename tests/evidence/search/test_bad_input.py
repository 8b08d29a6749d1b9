"""Files and names made to do harm: bombs, archives without end, names that lead elsewhere, circles of directories, holes."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import time
import zipfile
from pathlib import Path

import pytest

from amparo.demo import ntfs as demo_ntfs
from amparo.demo.content import Placed
from amparo.evidence import package as packages
from tests.evidence.search.running import command, digests, examined, problems, rows
from tests.evidence.search.specimens import DAY, FILES, MIB, archive, fat12, ntfs
from tests.evidence.source.disks import ext, fat


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def holds(package: Path) -> bool:
    return all(finding.ok for finding in packages.verify(package))


def bomb() -> bytes:
    """Twenty kilobytes that unpack to ten gigabytes."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as file, file.open("zeros", "w") as member:
        for _ in range(100):
            member.write(bytes(MIB))
    return archive({f"{number}.zip": inner.getvalue() for number in range(100)})


# Archives ---------------------------------------------------------------------------------------------------------------


def test_a_zip_bomb_in_an_image_is_left_in_time_and_its_neighbours_are_read(tmp_path: Path) -> None:
    files = {**FILES, "bomb.zip": bomb()}
    begun = time.monotonic()
    outcome, package = examined(ntfs(tmp_path / "disk.img", files, 2 * MIB), tmp_path)
    assert time.monotonic() - begun < 60
    assert outcome.exit_code == 5
    assert any("bomb.zip" in (path or "") and "made to do harm" in message for _, path, message in problems(package))
    found = digests(package)
    for name, content in files.items():
        assert found[name] == sha(content)
    assert found["Users/Ana/letters.zip/deep/two.zip/three"] == sha(b"3" * 99)
    assert rows(package, "select coalesce(sum(size), 0) < 2 << 30 from files where state = 'inside'") == [(1,)]
    assert holds(package)


def test_an_archive_a_hundred_deep_is_opened_as_far_as_is_allowed(tmp_path: Path) -> None:
    content = b"at the bottom"
    for level in range(100, 0, -1):
        content = archive({f"{level}.zip" if level < 100 else "bottom.txt": content, "beside.txt": b"level %d" % level})
    outcome, package = examined(ntfs(tmp_path / "disk.img", {"deep.zip": content, **FILES}), tmp_path)
    assert outcome.exit_code == 5
    found = digests(package)
    assert found["deep.zip/beside.txt"] == sha(b"level 1")
    assert found["deep.zip/1.zip/2.zip/beside.txt"] == sha(b"level 3")
    assert found["Windows/notes.log"] == sha(FILES["Windows/notes.log"])
    assert any("deep" in message and "deep.zip" in (path or "") for _, path, message in problems(package))
    assert holds(package)


# Names ------------------------------------------------------------------------------------------------------------------

STRANGE = [
    "line\nbreak.txt", "tab\there.txt", "\x1b[2J\x1b[31mred.txt", "gnp\u202egpj.exe", " leading", "trailing ", "-rf",
    "quote'\"$(rm).txt", "<img src=x onerror=alert(1)>.html", "%s%n", "ü" * 100, "😀.jpg", "CON", "semi;colon", "back\\slash", "*?",
]  # fmt: skip


def safe(path: str) -> bool:
    """Whether a path of the tables leads nowhere but down from its volume."""
    return not path.startswith("/") and "\0" not in path and not {"", ".", ".."} & set(path.split("/"))


def content_of(name: str) -> bytes:
    return b"content of " + name.encode("utf-8", "surrogateescape") * 40


def test_strange_names_on_ntfs_reach_the_tables_whole_and_lead_nowhere(tmp_path: Path) -> None:
    names = [*STRANGE, "n" * 255, "ab_patched_1", "ab_patched_2", "ab_patched_3"]
    volume = demo_ntfs.NtfsVolume(MIB, "TINY", DAY, 0, 7)
    volume.lay([Placed(f"Users/{name}", content_of(name), DAY, DAY) for name in names])
    image = bytes(volume.image)
    for name, hostile in (
        ("ab_patched_1", "/../../../etc"[:12]),
        ("ab_patched_2", "a\0b"),
        ("ab_patched_3", "\ud800\udfff\udc00x\udbff"),
    ):
        image = image.replace(name.encode("utf-16-le"), hostile.ljust(12, "~").encode("utf-16-le", "surrogatepass"))
    (tmp_path / "disk.img").write_bytes(image)
    _, package = examined(tmp_path / "disk.img", tmp_path)
    found = digests(package)
    for name in names[:-3]:
        assert found[f"Users/{name}"] == sha(content_of(name)), name
    assert found["Users/\\x2f..\\x2f..\\x2f..\\x2fet"] == sha(content_of("ab_patched_1"))
    assert {sha(content_of(name)) for name in names} <= set(found.values())
    assert all(map(safe, found))
    assert holds(package)


def bytes_names() -> list[bytes]:
    return [
        *(name.encode() for name in STRANGE),
        b"n" * 255,
        b"\xff\xfe\x80.txt",
        b"caf\xe9",
        b"\xed\xa0\x80",
        b"\x01\x7f",
    ]


def shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def tree_of(root: Path) -> Path:
    root.mkdir()
    for name in bytes_names():
        with open(os.path.join(os.fsencode(root), name), "wb") as file:  # noqa: PTH118, PTH123  names that are no text
            file.write(b"content of " + name * 40)
    return root


def test_strange_names_on_ext4_reach_the_tables_whole_and_lead_nowhere(tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "tree")
    (tree / "up_a").write_bytes(b"one")
    (tree / "up_bcdefgh").write_bytes(b"two")
    image = ext.make(tmp_path / "disk.img", tree, "-t", "ext4", "-O", "^metadata_csum", "-N", "128", size=MIB)
    data = (
        image.read_bytes()
        .replace(b"\x04\x01up_a", b"\x04\x01../a")
        .replace(b"\x0a\x01up_bcdefgh", b"\x0a\x01/etc/passw")
    )
    image.write_bytes(data)
    _, package = examined(image, tmp_path)
    found = digests(package)
    for name in bytes_names():
        assert found[shown(name)] == sha(b"content of " + name * 40), name
    assert found["..\\x2fa"] == sha(b"one")
    assert found["\\x2fetc\\x2fpassw"] == sha(b"two")
    assert all(map(safe, found))
    assert holds(package)


def test_strange_names_on_fat_reach_the_tables_and_lead_nowhere(tmp_path: Path) -> None:
    image = fat.make(tmp_path / "disk.img", 12, size=MIB)
    hostile = {"../../etc/..": 0, "a\nb\rc\x1b[2Jd\u202e": 1, "\ud800\udc00\udfffxxx\udbffyyyyz": 2}
    for number in hostile.values():
        fat.write(image, f"patched-{number} long", b"%d" % number * 700)
    fat.write(image, "n" * 251 + ".jpg", b"long")
    data = image.read_bytes()
    for name, number in hostile.items():
        # A long name of one entry keeps its first thirteen letters in three places.
        old, new = (
            text.encode("utf-16-le", "surrogatepass").ljust(26, b"\xff")
            for text in (f"patched-{number} lon", name[:13])
        )
        data = data.replace(old[:10] + b"\x0f\0", new[:10] + b"\x0f\0", 1).replace(old[10:22], new[10:22], 1)
    image.write_bytes(data)
    _, package = examined(image, tmp_path)
    found = digests(package)
    assert {sha(b"%d" % number * 700) for number in hostile.values()} <= set(found.values())
    assert found["n" * 251 + ".jpg"] == sha(b"long")
    assert all(map(safe, found)), sorted(found)
    assert not any(name.startswith("patched") for name in found)
    assert holds(package)


def test_strange_names_in_a_folder_reach_the_tables_whole(tmp_path: Path) -> None:
    _, package = examined(tree_of(tmp_path / "source"), tmp_path)
    found = digests(package)
    assert found == {shown(name): sha(b"content of " + name * 40) for name in bytes_names()}
    assert holds(package)


def test_no_name_moves_the_cursor_or_turns_the_text_around(tmp_path: Path) -> None:
    source = tree_of(tmp_path / "source")
    source.joinpath("bad\x1b]0;title\x07.zip").write_bytes(archive({"x\x1b[1A\r\u2066.txt": b"known"})[:-30])
    lines = [hashlib.md5(path.read_bytes()).hexdigest() for path in source.iterdir()]
    known = tmp_path / "list\x1b[5m.txt"
    known.write_text("\n".join(lines) + "\n")
    done = command(source, tmp_path, "--out", tmp_path / "out\x1b[7m", "--known", known)
    assert done.returncode in (0, 5), done.stderr
    for output in (done.stdout, done.stderr):
        text = output.decode()
        assert all(letter == "\n" or letter.isprintable() for letter in text), text
    assert b"\\u001b[2J" in done.stdout
    assert b"\\u202e" in done.stdout


# Circles and holes ------------------------------------------------------------------------------------------------------


def test_a_directory_that_holds_itself_on_ext4_is_walked_once(tmp_path: Path) -> None:
    tree = ext.tree(tmp_path / "tree", FILES)
    image = ext.make(tmp_path / "disk.img", tree, "-t", "ext4", "-O", "^metadata_csum", "-N", "64", size=MIB)
    ext.change(image, "link /Users /Users/Ana/again", "link /Users/Ana /Users/Ana/me", "link / /Windows/root")
    _, package = examined(image, tmp_path)
    found = digests(package)
    assert {name: found[name] for name in FILES} == {name: sha(content) for name, content in FILES.items()}
    assert not any("again/" in name or "me/" in name or "root/" in name for name in found)


def test_a_directory_that_holds_itself_on_fat_is_walked_once(tmp_path: Path) -> None:
    image = fat12(tmp_path / "disk.img")
    fat.write(image, "AAA/BBB/CCC/file.txt", b"in the circle")
    data = bytearray(image.read_bytes())
    above = data.index(b"AAA        \x10")
    below = data.index(b"CCC        \x10")
    data[below + 26 : below + 28] = data[above + 26 : above + 28]
    image.write_bytes(data)
    begun = time.monotonic()
    _, package = examined(image, tmp_path)
    assert time.monotonic() - begun < 30
    assert digests(package)["Users/Ana/Pictures/noise.jpg"] == sha(FILES["Users/Ana/Pictures/noise.jpg"])


def test_directories_that_lead_to_each_other_many_times_over_do_not_multiply(tmp_path: Path) -> None:
    """Thirty directories on FAT, each named sixteen times in the one before: 16^30 paths, thirty directories."""
    image = fat.make(tmp_path / "disk.img", 12, size=MIB)
    fat.write(image, "D/file.txt", b"its directory is gone")
    fat.write(image, "E.txt", b"once")
    data = bytearray(image.read_bytes())
    top = data.index(b"D          \x10")
    reserved, copies, table = struct.unpack_from("<H", data, 14)[0], data[16], struct.unpack_from("<H", data, 22)[0]
    heap = (reserved + copies * table + struct.unpack_from("<H", data, 17)[0] * 32 // 512) * 512
    cluster = data[13] * 512
    for number in range(100, 130):
        for copy in range(cluster // 32):
            at = heap + (number - 2) * cluster + copy * 32
            data[at : at + 32] = (b"S%02d        \x10" % copy).ljust(26, b"\0") + struct.pack("<HI", number + 1, 0)
    for start in (reserved * 512, (reserved + table) * 512):
        for number in range(100, 131):
            at = start + number * 3 // 2
            value = int.from_bytes(data[at : at + 2], "little")
            value = value & 0xF | 0xFFF0 if number & 1 else value & 0xF000 | 0xFFF
            data[at : at + 2] = value.to_bytes(2, "little")
    data[top + 26 : top + 28] = struct.pack("<H", 100)
    image.write_bytes(data)
    begun = time.monotonic()
    _, package = examined(image, tmp_path)
    assert time.monotonic() - begun < 30
    assert rows(package, "select count(*) < 5000 from files") == [(1,)]
    assert sha(b"once") in digests(package).values()


@pytest.mark.parametrize("place", ["image", "folder"])
def test_gigabytes_of_hole_are_hashed_in_little_memory(place: str, tmp_path: Path) -> None:
    tree = ext.tree(tmp_path / "tree", FILES)
    with (tree / "hole").open("wb") as file:
        file.truncate(3 << 30 if place == "image" else 1 << 30)
        file.seek(512 << 20)
        file.write(b"something in the middle")
    source = (
        tree if place == "folder" else ext.make(tmp_path / "disk.img", tree, "-t", "ext4", "-N", "64", size=2 * MIB)
    )
    told = (
        "import atexit, resource\n"
        "atexit.register(lambda: print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr))"
    )
    done = command(source, tmp_path, "--out", tmp_path / "package", before=told)
    assert done.returncode == 0, done.stderr
    peak = int(done.stderr.split()[-1]) << 10
    assert peak < 200 << 20, f"{peak >> 20} MiB"
    whole = hashlib.sha256()
    zeros = bytes(MIB)
    for number in range(3 << 10 if place == "image" else 1 << 10):
        whole.update(zeros if number != 512 else b"something in the middle".ljust(MIB, b"\0"))
    assert digests(tmp_path / "package")["hole"] == whole.hexdigest()
