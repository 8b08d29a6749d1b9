"""Thumbs.db and thumbcache_*.db, of every version of Windows that keeps them."""

from __future__ import annotations

import struct

import pytest

from amparo.evidence.content_type import mime_of
from tests.evidence.inside.specimens import PICTURE, a_catalogue, a_thumbcache, an_ole, opened

LARGE = PICTURE[:-2] + bytes(9_000) + b"\xff\xd9"


def xp(data: bytes) -> bytes:
    return struct.pack("<III", 12, 1, len(data)) + data


def test_the_thumbnails_of_windows_xp_come_out_with_the_names_of_their_pictures() -> None:
    ticks = 132_444_736_000_000_000
    data = an_ole({
        "Catalog": a_catalogue([(1, "beach.jpg", ticks), (12, "férias.jpg", ticks)]),
        "1": xp(PICTURE),
        "21": xp(LARGE),
    })  # fmt: skip
    assert mime_of(data[:4096], "Thumbs.db") == "application/x-thumbs-db"
    seen = opened(data, "Thumbs.db")
    assert seen.contents() == {"beach.jpg": PICTURE, "férias.jpg": LARGE} and not seen.problems
    assert seen.members[0].modified == "2020-09-13T12:26:40Z"


def test_the_oldest_thumbnails_have_a_longer_head() -> None:
    data = an_ole(
        {"Catalog": a_catalogue([(3, "C:\\a.jpg", 0)]), "3": struct.pack("<IIIIIII", 12, 2, 99, 1, 2, 96, 96) + PICTURE}
    )
    seen = opened(data, "Thumbs.db")
    assert seen.contents() == {"C:\\a.jpg": PICTURE} and seen.members[0].modified is None


def test_the_thumbnails_of_vista_are_named_by_size_and_hash() -> None:
    data = an_ole(
        {
            "256_3f5a1b2c3d4e5f60": struct.pack("<I", 24) + bytes(20) + PICTURE,
            "96_00ff": struct.pack("<I", 24) + bytes(20) + LARGE,
        }
    )
    assert opened(data, "Thumbs.db").contents() == {"256_3f5a1b2c3d4e5f60": PICTURE, "96_00ff": LARGE}


def test_a_stream_without_a_picture_comes_out_whole() -> None:
    assert opened(an_ole({"96_1": b"something else"}), "Thumbs.db").contents() == {"96_1": b"something else"}


def test_a_damaged_catalogue_costs_the_names_only() -> None:
    data = an_ole({"Catalog": a_catalogue([(1, "a.jpg", 0)])[:-9], "1": xp(PICTURE)})
    seen = opened(data, "Thumbs.db")
    assert seen.contents() == {"1": PICTURE} and seen.problems == ["Its catalogue of names is damaged."]


@pytest.mark.parametrize("version", [20, 21, 30, 31, 32], ids=["Vista", "7", "8.0", "8.1", "10 and 11"])
def test_the_central_cache_gives_every_thumbnail(version: int) -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(500)
    seen = opened(
        a_thumbcache(version, {"482d656ee647f25e": PICTURE, "1f": png, "empty": b"", "9": LARGE}), "thumbcache_256.db"
    )
    assert seen.contents() == {"482d656ee647f25e.jpg": PICTURE, "1f.png": png, "9.jpg": LARGE}
    assert seen.trails() == [(0,), (1,), (3,)] and not seen.problems


def test_an_entry_behind_a_damaged_one_and_one_left_in_free_space_are_found() -> None:
    data = bytearray(a_thumbcache(32, {"aa": PICTURE, "bb": LARGE, "cc": PICTURE}))
    second = data.index(b"CMMM", 80)
    data[second + 4 : second + 8] = b"\xff\xff\xff\x7f"
    free = b"CMMM" + struct.pack("<I", 56 + 5_000) + bytes(48) + bytes(100)
    seen = opened(bytes(data) + free + a_thumbcache(32, {"dd": LARGE})[24:], "thumbcache_96.db")
    assert seen.contents()["cc.jpg"] == PICTURE and seen.contents()["dd.jpg"] == LARGE


def test_a_version_that_is_not_known_is_told() -> None:
    seen = opened(a_thumbcache(77, {"a": PICTURE}), "thumbcache_32.db")
    assert not seen.members and seen.problems == ["Version 77 of the thumbnail cache is not known."]
