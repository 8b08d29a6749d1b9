"""Noise gives nothing, and a medium made to wear the search out does not."""

from __future__ import annotations

import random
import struct
import time

import pytest

from amparo.evidence.carving import carve, scan
from amparo.evidence.carving.kinds import KINDS, Kind
from amparo.evidence.carving.reach import Broken, Reach
from tests.evidence.carving.specimens import Memory, box, element, specimens

CONTENTS = [content for _, content in specimens(21).values()]
HEADS = [content[:size] for content in CONTENTS for size in (4, 12, 16)]


def test_noise_in_which_every_sector_begins_like_a_file_holds_no_file():
    chance = random.Random(77)
    content = b"".join((chance.choice(HEADS) + chance.randbytes(512))[:512] for _ in range(16_000))
    assert list(carve(Memory(content), [(0, len(content))])) == []


def test_noise_of_low_variety_holds_no_file():
    chance = random.Random(78)
    few = b"\x00\xff\xd8\xd9\xda\x21\x50\x01"
    content = b"".join((chance.choice(HEADS) + bytes(chance.choices(few, k=512)))[:512] for _ in range(4_000))
    assert list(carve(Memory(content), [(0, len(content))])) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_validator_given_spoilt_files_answers_or_refuses(kind: Kind):
    chance = random.Random(kind.name)
    sources = [content for content in CONTENTS if kind.begins(content[:16])]
    begun = time.monotonic()
    for _ in range(400):
        content = bytearray(chance.choice(sources))
        for _ in range(chance.choice((1, 1, 2, 5, 40))):
            # Half of the harm goes where the structure is: the first bytes.
            at = chance.randrange(min(len(content), chance.choice((200, len(content)))))
            act = chance.randrange(4)
            if act == 0:
                content[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            elif act == 1:
                content[at : at + 4] = chance.randbytes(4)
            elif act == 2:
                del content[at : at + chance.randrange(1, 64)]
            else:
                content[at:at] = content[: chance.randrange(1, 64)]
        reach = Reach(Memory(bytes(content)), 0, len(content), allowance=64 << 20)
        try:
            outline = kind.outline(reach)
        except Broken:
            continue
        assert 0 < outline.length <= len(content)
    assert time.monotonic() - begun < 20


def crowd(head: bytes, fill: bytes = b"\0", sectors: int = 8192) -> bytes:
    return (head + fill * 512)[:512] * sectors


HOSTILE = {
    # Segments that leap 64 KiB from one false header to the next.
    "JPEG": crowd(b"\xff\xd8\xff\xe1" + struct.pack(">H", 512 * 127 - 2) + bytes(6)),
    # One chunk that spans the rest: its checksum must be computed to be found wrong.
    "PNG": crowd(CONTENTS[6][:33] + struct.pack(">I", 3 << 20) + b"IDAT"),
    # Sub-blocks of one byte, without an end.
    "GIF": crowd(b"GIF89a\1\0\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\x02", b"\1"),
    "AVI": crowd(
        b"RIFF"
        + struct.pack("<I", 3 << 20)
        + b"AVI LIST\x0c\0\0\0hdrlavih\0\0\0\0LIST"
        + struct.pack("<I", 2 << 20)
        + b"movi",
        b"00dc\0\0\0\0",
    ),
    "MP4": crowd(box(b"ftyp", b"isom\0\0\0\0isom"), box(b"free")),
    "Matroska": crowd(
        element(0x1A45DFA3, element(0x4282, b"webm"))
        + element(
            0x18538067, element(0x1549A966, b"") + element(0x1654AE6B, element(0xAE, element(0xD7, b"\1"))), True
        ),
        b"\xec\x80",
    ),
    "PDF": crowd(b"%PDF-1.4\n1 0 obj\n", b" "),
    "PDF, many ends": crowd(b"%PDF-1.4\n1 0 obj\n", b"\nstartxref\n99\n%%EOF"),
    "ZIP": crowd(struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 8, 8, 0, 0, 0, 0, 0, 1, 0) + b"a"),
    "ZIP, many descriptors": crowd(
        struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 8, 8, 0, 0, 0, 0, 0, 1, 0) + b"a", b"PK\7\x08"
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_crowd_of_false_headers_costs_what_was_promised_and_no_more(name: str, monkeypatch: pytest.MonkeyPatch):
    reserve = 16 << 20
    monkeypatch.setattr(scan, "RESERVE", reserve)
    content = HOSTILE[name]
    device = Memory(content)
    begun = time.monotonic()
    assert list(carve(device, [(0, device.size)])) == []
    assert time.monotonic() - begun < 5
    candidates = len(content) // 512
    assert device.bytes_read <= len(content) * 2 + reserve + len(content) * scan.EARNED + candidates * scan.FLOOR


def test_what_the_search_gave_up_is_said_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scan, "RESERVE", 1 << 16)
    told: list[tuple[int, int, str]] = []
    content = HOSTILE["GIF"]
    assert list(carve(Memory(content), [(0, len(content))], on_problem=lambda *what: told.append(what))) == []
    assert len(told) == 1 and "GIF" in told[0][2]


def test_a_true_picture_behind_a_crowd_of_another_kind_is_still_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scan, "RESERVE", 1 << 20)
    content = HOSTILE["GIF"] + CONTENTS[0]
    assert [one.kind for one in carve(Memory(content), [(0, len(content))])] == ["jpeg"]


def test_a_crowd_before_one_end_mark_searches_for_it_once():
    content = HOSTILE["PDF"]
    reach_work = Memory(content)
    assert list(carve(reach_work, [(0, len(content))])) == []
    assert reach_work.bytes_read < 3 * len(content)
