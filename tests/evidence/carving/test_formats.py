"""Each format is found whole, wherever it lies, and only where it is whole."""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import features

from amparo.evidence.carving import Carved, carve
from tests.evidence.carving.specimens import (
    Memory,
    avi,
    box,
    fragmented_mp4,
    heic,
    matroska,
    mp4,
    pdf,
    picture,
    saved,
    specimens,
)

SPECIMENS = specimens(7)
CONTENTS = list(SPECIMENS.values())


def found(content: bytes) -> list[Carved]:
    return list(carve(Memory(content), [(0, len(content))]))


def digests(content: bytes, results: list[Carved]) -> list[str]:
    return [hashlib.sha256(content[one.offset : one.offset + one.length]).hexdigest() for one in results]


@pytest.mark.parametrize("name", SPECIMENS)
@pytest.mark.parametrize("surroundings", ["zeros", "noise", "ones", "end of the device"])
def test_a_file_is_found_with_exactly_its_bytes(name: str, surroundings: str):
    kind, content = SPECIMENS[name]
    fill = {"zeros": bytes(8192), "noise": random.Random(3).randbytes(8192), "ones": b"\xff" * 8192}
    around = fill.get(surroundings, b"")
    whole = around + content + around
    assert [(one.offset, one.length, one.kind) for one in found(whole)] == [(len(around), len(content), kind)]


def test_the_media_types_are_the_registered_ones():
    types = {one.kind: one.mime for _, content in CONTENTS for one in found(content)}
    assert types["jpeg"] == "image/jpeg" and types["mov"] == "video/quicktime" and types["pdf"] == "application/pdf"
    assert types["odt"] == "application/vnd.oasis.opendocument.text" and types["zip"] == "application/zip"
    assert len(types) == 17


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow writes no AVIF")
def test_an_avif_picture_of_a_real_encoder_is_found():
    content = saved(picture(5), "AVIF")
    assert [(one.length, one.kind) for one in found(content + bytes(999))] == [(len(content), "avif")]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_files_planted_at_any_sectors_are_all_found_in_order(data: st.DataObject):
    chosen = data.draw(st.lists(st.sampled_from(range(len(CONTENTS))), min_size=1, max_size=6))
    chance = random.Random(data.draw(st.integers(0, 999)))
    whole, expected = b"", []
    for index in chosen:
        kind, content = CONTENTS[index]
        gap = data.draw(st.integers(0, 40)) * 512
        whole += chance.randbytes(gap) if chance.random() < 0.5 else bytes(gap)
        expected.append((len(whole), hashlib.sha256(content).hexdigest(), kind))
        whole += content
        whole += bytes(-len(whole) % 512)
    results = found(whole)
    assert [
        (one.offset, digest, one.kind) for one, digest in zip(results, digests(whole, results), strict=True)
    ] == expected


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_file_that_is_cut_off_is_not_reported(name: str):
    kind, content = SPECIMENS[name]
    if "live" in name or "fragmented" in name or "continued" in name or "revised" in name:
        pytest.skip("a part of it is a whole file too")
    for cut in (len(content) // 3, len(content) // 2, len(content) * 8 // 10):
        assert [one for one in found(content[: cut + len(content) // 10]) if one.kind == kind] == []
        assert [one for one in found(content[:cut]) if one.kind == kind] == []
        assert [one for one in found(content[:cut] + bytes(9000)) if one.offset == 0] == []


@pytest.mark.parametrize(
    "name",
    ["JPEG", "JPEG, restarts", "PNG", "GIF", "WebP, animated", "AVI", "Matroska", "MP4, index first", "HEIC", "AVIF"],
)
def test_a_file_whose_middle_was_overwritten_is_not_reported(name: str):
    _, content = SPECIMENS[name]
    noise = random.Random(11).randbytes(min(4096, len(content) // 2))
    middle = len(content) // 3
    assert [one for one in found(content[:middle] + noise + content[middle + len(noise) :]) if one.offset == 0] == []


def test_a_thumbnail_inside_exif_neither_ends_its_picture_nor_is_reported_itself():
    _, content = SPECIMENS["JPEG, thumbnail"]
    assert content.count(b"\xff\xd8\xff") == 2
    assert [one.length for one in found(content)] == [len(content)]


def test_a_png_with_one_wrong_checksum_is_not_reported():
    content = bytearray(SPECIMENS["PNG"][1])
    content[len(content) // 2] ^= 1
    assert found(bytes(content)) == []


def test_a_png_with_private_chunks_is_followed_through_them():
    content = SPECIMENS["PNG"][1]
    body = b"prVt" + bytes(70_000)
    extra = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    content = content[:-12] + extra + content[-12:]
    assert [one.length for one in found(content)] == [len(content)]


def test_a_film_without_its_index_or_without_its_data_is_not_reported():
    kind = box(b"ftyp", b"isom\0\0\2\0isom")
    assert found(kind + box(b"mdat", bytes(5000))) == []
    content = mp4(1)
    assert found(content[: content.index(b"mdat") - 4] + bytes(9000)) == []


def test_a_film_whose_index_points_elsewhere_is_not_reported():
    assert found(mp4(1).replace(b"stco\0\0\0\0\0\0\0\6\0\0", b"stco\0\0\0\0\0\0\0\6\x7f\0")) == []


@pytest.mark.parametrize("make", [mp4, heic])
def test_a_film_or_picture_whose_end_was_overwritten_is_not_reported(make: Callable[[int], bytes]):
    content = make(4)
    for harm in (bytes(1500), random.Random(8).randbytes(1500)):
        assert found(content[:-1500] + harm) == []


def test_a_film_of_a_format_unknown_here_is_believed_by_its_boxes():
    content = mp4(4).replace(b"avc1", b"vp09")
    assert [one.length for one in found(content)] == [len(content)]


def test_a_fragmented_film_ends_before_what_is_no_box_of_a_film():
    content = fragmented_mp4(3)
    assert found(content + random.Random(5).randbytes(4000))[0].length == len(content)


def test_a_picture_whose_handler_is_not_for_pictures_is_not_reported():
    assert found(heic(1).replace(b"pict", b"mdir")) == []


def test_an_avi_whose_movie_list_holds_something_else_is_not_reported():
    assert found(avi(1).replace(b"00dc", b"\0\0dc", 1)) == []


def test_a_live_recording_ends_where_its_blocks_end():
    content = matroska(2, b"webm", live=True)
    other_track = b"\xa3\x85\x82\0\0\x80x"
    assert [one.length for one in found(content + other_track)] == [len(content)]


def test_a_document_is_carried_to_its_last_revision_and_not_into_the_next_document():
    one, two = pdf(1, 1), pdf(2)
    padded = one + bytes(-len(one) % 512)
    assert [(x.offset, x.length) for x in found(padded + two)] == [(0, len(one)), (len(padded), len(two))]


def test_a_document_header_before_the_end_of_another_gives_nothing():
    assert found(b"%PDF-1.4\n1 0 obj\n" + b"x" * 495 + pdf(1)[600:]) == []


def test_an_archive_whose_directory_names_another_member_is_not_reported():
    _, content = SPECIMENS["ZIP"]
    last = content.rindex(b"a.txt")
    assert found(content[:last] + b"z.txt" + content[last + 5 :]) == []


def test_an_empty_archive_is_not_worth_reporting():
    assert found(b"PK\x05\x06" + bytes(18)) == []
