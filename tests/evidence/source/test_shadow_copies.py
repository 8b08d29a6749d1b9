"""Volume shadow copies: what a volume held once is found, what is the same in the state after it is not told again."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from amparo.child import ChildDied, isolated
from amparo.errors import AmparoError
from amparo.evidence.source import volumes
from tests.evidence.search.running import examined, problems, rows
from tests.evidence.source.disks import Raw, by_path, noise, seen, shadow

SAME = {f"Users/Ana/kept {number:03}.bin": noise(number, 3000) for number in range(40)}
LETTER, PICTURE = "Users/Ana/letter.txt", "Users/Ana/gone.jpg"
FIRST = SAME | {LETTER: b"first words " * 300, PICTURE: noise("picture", 30_000)}
SECOND = SAME | {LETTER: b"other words " * 300, PICTURE: noise("picture", 30_000)}
NOW = SAME | {LETTER: b"last words.. " * 300, "Users/Ana/later.bin": noise("later", 9_000)}


@pytest.fixture(scope="module")
def image() -> bytes:
    return shadow.make(shadow.volume(NOW), shadow.volume(FIRST), shadow.volume(SECOND))


def listed(image: bytes, number: int) -> dict[str, bytes | None]:
    """The users' files of a volume."""
    device = Raw(image)
    survey = volumes.survey(device)
    assert [(one.kind, one.label) for one in survey.volumes] == [
        ("bare", None),
        ("shadow", "shadow copy of 2026-02-03T04:05:06Z"),
        ("shadow", "shadow copy of 2026-02-04T04:05:06Z"),
    ], survey.problems
    found = by_path(seen(volumes.open_volume(device, survey.volumes[number]), volumes.NTFS), "live")
    return {path: one.content for path, one in found.items() if path.startswith("Users/")}


def test_what_was_changed_or_deleted_since_is_found_as_it_was(image: bytes):
    assert listed(image, 0) == NOW
    first, second = listed(image, 1), listed(image, 2)
    assert (first[LETTER], second[LETTER]) == (FIRST[LETTER], SECOND[LETTER])
    assert second[PICTURE] == SECOND[PICTURE]


def test_what_is_the_same_in_the_state_after_is_not_told_again(image: bytes):
    assert not set(listed(image, 2)) & set(SAME)
    assert set(listed(image, 1)) == {LETTER}  # the picture is first missing from the volume of now


def test_the_bytes_of_a_state_are_those_of_then(image: bytes):
    device = Raw(image)
    for number, files in ((1, FIRST), (2, SECOND)):
        state = volumes.open_volume(device, volumes.survey(device).volumes[number])
        then, whole = shadow.volume(files), state.read(0, state.size)
        room = then.index(noise("room", len(then) // 4))
        start, stop = room // shadow.BLOCK * shadow.BLOCK, room + len(then) // 4 + shadow.BLOCK
        assert whole[:0x1E00] == then[:0x1E00] and whole[0x4000:start] == then[0x4000:start]
        assert whole[stop:] == then[stop:]


def test_a_content_that_changed_behind_a_record_that_did_not_is_told():
    files = SAME | {"Users/Ana/database": noise("then", 20_000)}
    then = shadow.volume(files)
    now = then.replace(noise("then", 20_000), noise("now", 20_000))
    image = shadow.make(now, then)
    device = Raw(image)
    found = seen(volumes.open_volume(device, volumes.survey(device).volumes[1]), volumes.NTFS)
    told = {one.entry.path: one.content for one in found if one.entry.path.startswith("Users/")}
    assert told == {"Users/Ana/database": noise("then", 20_000)}


def test_free_space_of_a_state_is_only_what_changed_since(image: bytes):
    device = Raw(image)
    survey = volumes.survey(device)
    free = [
        sum(
            length
            for _, length in volumes.open_filesystem(volumes.open_volume(device, one), "ntfs").allocation().free()
        )
        for one in survey.volumes
    ]
    assert free[1] <= free[2] < free[0] // 4


def test_a_whole_search_tells_the_old_content_under_the_shadow_copys_volume(image: bytes, tmp_path: Path):
    (tmp_path / "disk").write_bytes(image)
    _, package = examined(tmp_path / "disk", tmp_path)
    told = rows(package, f"select volume, sha256 from files where path = '{LETTER}' and state = 'live' order by volume")
    expected = [
        (number, hashlib.sha256(files[LETTER]).hexdigest()) for number, files in enumerate((NOW, FIRST, SECOND))
    ]
    assert told == expected
    assert rows(package, f"select volume, sha256, state from files where path = '{PICTURE}'") == [
        (2, hashlib.sha256(FIRST[PICTURE]).hexdigest(), "live")
    ]
    assert rows(package, "select count(*) from files where path like 'Users/Ana/kept%'") == [(len(SAME),)]
    assert rows(package, "select kind, label from volumes where id = 1") == [
        ("shadow", "shadow copy of 2026-02-03T04:05:06Z")
    ]


@pytest.mark.parametrize("spoilt", [16, 20, 128], ids=["the version", "the kind of block", "the first entry"])
def test_a_damaged_catalog_is_a_problem_and_the_volume_of_now_is_searched(image: bytes, tmp_path: Path, spoilt: int):
    raw = bytearray(image)
    catalog = int.from_bytes(raw[0x1E00 + 48 : 0x1E00 + 56], "little")
    raw[catalog + spoilt] = 0x77
    (tmp_path / "disk").write_bytes(raw)
    _, package = examined(tmp_path / "disk", tmp_path)
    assert ("volumes", "volume 0", "The volume's shadow copies are damaged and were not searched.") in problems(package)
    assert rows(package, f"select count(*) from files where path = '{LETTER}' and volume = 0") == [(1,)]


def states(image: bytes, spoilt: list[dict[int, int]]):
    for changes in spoilt:
        raw = bytearray(image)
        for at, value in changes.items():
            raw[at] ^= value
        device = Raw(bytes(raw))
        for one in volumes.survey(device).volumes[1:]:
            try:
                opened = volumes.open_volume(device, one)
                opened.read(0, min(opened.size, 1 << 20))
                entries = sum(1 for _ in volumes.open_filesystem(opened, "ntfs").entries())
                yield None if entries < 1000 else "entries without end"
            except AmparoError:
                pass
        yield None


def test_flipped_bits_neither_crash_the_parent_nor_hang(image: bytes):
    chance = random.Random("vss")
    catalog = int.from_bytes(image[0x1E00 + 48 : 0x1E00 + 56], "little")
    places = [0x1E00 + at for at in range(100)] + [
        catalog + block * shadow.BLOCK + at for block in range(6) for at in range(600)
    ]
    died = 0
    for _ in range(4):
        spoilt = [
            {chance.choice(places): 1 << chance.randrange(8) for _ in range(chance.choice((1, 3, 20)))}
            for _ in range(25)
        ]
        try:
            assert not [wrong for wrong in isolated(states, image, spoilt, patience=10.0) if wrong]
        except ChildDied:
            died += 1
    assert died <= 1
