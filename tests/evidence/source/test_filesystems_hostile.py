"""Volumes with flipped bits, and volumes made to wear a reader out: nothing crashes the parent, hangs, or yields without end."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from amparo.child import ChildDied, isolated
from amparo.errors import AmparoError
from amparo.evidence.source import volumes
from amparo.evidence.source.entry import SPARSE, Entry
from tests.evidence.source.disks import Raw, exfat, ext, fat, iso, noise, ntfs, xfs

FILES = {f"dir {n % 5}/sub/file {n}.bin": noise(n, 50 + 3000 * (n % 4)) for n in range(30)} | {
    "n" * 200: b"n",
    "e": b"",
}
PATIENCE = 4.0  # seconds without an answer, on volumes that take milliseconds
MOST = 20_000  # entries; the volumes hold about forty
ROUNDS = 150


def make_ntfs(folder: Path) -> Path:
    image = ntfs.make(folder / "disk", 3 << 20)
    with ntfs.mounted(image) as root:
        (root / "packed").mkdir()
        ntfs.attributes(root / "packed", ntfs.COMPRESSED)
        for path, content in (FILES | {"packed/text": b"text " * 5000, "e:stream": b"s"}).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        for path in list(FILES)[::3]:
            (root / path).unlink()
    return image


def make_fat(folder: Path, width: int) -> Path:
    image = fat.make(folder / "disk", width, size={12: 1 << 20, 16: 9 << 20, 32: 34 << 20}[width])
    for path, content in FILES.items():
        fat.write(image, path.replace("n" * 200, "n" * 100), content)
    fat.delete(image, *list(FILES)[::7])
    return image


def make_ext(folder: Path, *options: str) -> Path:
    image = ext.make(folder / "disk", ext.tree(folder / "tree", FILES), *options, size=2 << 20)
    ext.change(image, *(f'rm "/{path}"' for path in list(FILES)[:20:3]))
    return image


def make_exfat(folder: Path) -> Path:
    disk = exfat.make(folder / "disk", 2 << 20, "-b", "64K")
    places = [disk.add(path, content, chained=bool(len(content) & 1)) for path, content in FILES.items()]
    for place in places[::4]:
        disk.delete(place)
    (folder / "disk").write_bytes(disk.raw)
    return folder / "disk"


def make_xfs(folder: Path) -> Path:
    tree = {path.replace(" ", "_"): content for path, content in FILES.items()}
    return xfs.make(folder / "disk", ext.tree(folder / "tree", tree))


def make_iso(folder: Path) -> Path:
    return iso.make(folder / "disk", ext.tree(folder / "tree", FILES), "-J", "-R")


MAKERS = {
    "NTFS": make_ntfs, "FAT12": lambda folder: make_fat(folder, 12), "FAT16": lambda folder: make_fat(folder, 16),
    "FAT32": lambda folder: make_fat(folder, 32), "ext2": lambda folder: make_ext(folder, "-t", "ext2"),
    "ext4": lambda folder: make_ext(folder, "-t", "ext4", "-b", "1024"), "exFAT": make_exfat, "XFS": make_xfs, "ISO": make_iso,
}  # fmt: skip


class Spoilt(Raw):
    """An image some bytes of which are others."""

    def __init__(self, source: Path | bytes, changes: dict[int, int]) -> None:
        super().__init__(source)
        self.changes = changes

    def read(self, offset: int, length: int) -> bytes:
        data = bytearray(super().read(offset, length))
        for at, value in self.changes.items():
            if offset <= at < offset + len(data):
                data[at - offset] ^= value
        return bytes(data)


def wrong(entry: Entry) -> str | None:
    """What of an entry the rest of the search could not bear, or None."""
    if not 0 <= entry.size < 1 << 63 or not 0 <= (entry.valid or 0) <= entry.size:
        return f"size {entry.size}, valid {entry.valid}"
    if entry.path.startswith("/") or {"..", "."} & set(entry.path.split("/")) or "\0" in entry.path:
        return f"path {entry.path!r}"
    if len(entry.inline or b"") > 65536 or len(entry.path.encode()) > 1 << 18:
        return "too much of it"
    # A run may lie past the end of an image that was cut short: reading it says so.
    if any(length <= 0 or not (at == SPARSE or 0 <= at < 1 << 60) for at, length in entry.runs or ()):
        return f"runs {entry.runs}"
    return None


def listings(image: Path, kind: str, spoilt: list[dict[int, int]]) -> Iterator[str | None]:
    """For each spoilt image, what was wrong with its listing, or None."""
    for changes in spoilt:
        found: str | None = None
        count = 0
        try:
            system = volumes.open_filesystem(Spoilt(image, changes), kind)
            for entry in system.entries():
                count += 1
                found = found or wrong(entry)
                if count > MOST:
                    found = "entries without end"
                    break
            else:
                system.allocation().free()
        except AmparoError:
            pass
        yield found


def survived(image: Path, kind: str, spoilt: list[dict[int, int]]) -> int:
    """On how many spoilt images the child crashed or had to be stopped, which costs one volume and never the run.

    The Sleuth Kit walks every block of an ext2 file that claims terabytes, so a few of these do have to be stopped.
    """
    died = 0
    while spoilt:
        done = 0
        try:
            for found in isolated(listings, image, kind, spoilt, patience=PATIENCE):
                assert found is None, (found, spoilt[done])
                done += 1
        except ChildDied:
            died += 1
            done += 1
        spoilt = spoilt[done:]
    return died


@pytest.fixture(scope="module", params=MAKERS)
def volume(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[int]]:
    """The image, its kind, and the places where its structure lies (what is not zeros and not file content)."""
    image = MAKERS[request.param](tmp_path_factory.mktemp("hostile"))
    kind = volumes.recognise(Raw(image))
    assert kind is not None
    device = Raw(image)
    content: set[int] = set()
    for entry in volumes.open_filesystem(device, kind).entries():
        if not entry.path.startswith("$"):
            content |= {at // 512 for start, length in entry.runs or () for at in range(start, start + length, 512)}
    sectors = [n for n in range(device.size // 512) if n not in content and any(device.read(n * 512, 512))]
    return image, kind, sectors


def test_flipped_bits_neither_crash_the_parent_nor_hang_nor_yield_without_end(volume: tuple[Path, str, list[int]]):
    image, kind, sectors = volume
    chance = random.Random(kind)
    spoilt = []
    for _ in range(ROUNDS):
        flips = chance.choice((1, 2, 8, 60, 400))
        spoilt.append({
            chance.choice(sectors) * 512 + chance.randrange(512): 1 << chance.randrange(8) for _ in range(flips)
        })  # fmt: skip
    assert survived(image, kind, spoilt) <= ROUNDS // 20


def test_a_damaged_first_sector_neither_crashes_nor_hangs(volume: tuple[Path, str, list[int]]):
    image, kind, _ = volume
    chance = random.Random(kind + "first")
    start = {volumes.EXT: 1024, volumes.ISO: 32768}.get(kind, 0)
    spoilt = [
        {start + chance.randrange(300): chance.randrange(1, 256) for _ in range(chance.choice((1, 2, 4)))}
        for _ in range(ROUNDS)
    ]
    assert survived(image, kind, spoilt) <= ROUNDS // 20


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_an_image_cut_short_is_listed_as_far_as_it_goes(
    volume: tuple[Path, str, list[int]], tmp_path: Path, share: float
):
    image, kind, _ = volume
    cut = tmp_path / "cut"
    with image.open("rb") as disk:
        cut.write_bytes(disk.read(min(int(image.stat().st_size * share), 40 << 20)))
    assert survived(cut, kind, [{}]) == 0
