"""Files that were made or broken to do harm: no crash, no hang, no memory beyond the limit, and each told in one sentence."""

from __future__ import annotations

import io
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from amparo.errors import ReadFailed
from amparo.known.picture import Limits, fingerprints
from tests.known.picture_specimens import each, saved, scene

ROOT = Path(__file__).parents[2]
GIGABYTE = 1 << 30

# Run as a process of its own: a decoder that crashes takes only that along, and is seen.
SPOILING = """
import random, resource, sys
from amparo.errors import ReadFailed
from amparo.known.picture import Limits, fingerprints
from tests.known.picture_specimens import each

name, seed, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
whole = each()[name]()
chance = random.Random(seed)
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
good = 0
for number in range(times):
    data = bytearray(whole)
    if chance.random() < 0.2:
        del data[chance.randrange(len(data)):]
    for _ in range(chance.choice((1, 2, 8, 40))):
        at = chance.randrange(min(len(data), 600) if chance.random() < 0.6 else len(data)) if data else 0
        kind = chance.random()
        if kind < 0.5 and data:
            data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        elif kind < 0.75:
            data[at:at + 4] = chance.randrange(1 << 32).to_bytes(4, "big")
        elif kind < 0.9:
            del data[at:at + chance.randrange(1, 64)]
        else:
            data[at:at] = chance.randbytes(chance.randrange(1, 64))
    try:
        found = fingerprints(bytes(data), limits=Limits(pixels=4_000_000, memory=1 << 28))
    except ReadFailed:
        continue
    assert found and all(len(picture.fingerprint.bits) == 32 for picture in found), number
    good += 1
print(good)
"""


@pytest.mark.parametrize("name", each())
def test_a_spoilt_file_of_any_kind_is_decoded_or_refused(name: str):
    command = [sys.executable, "-W", "ignore", "-c", SPOILING, name, "20261120", "150"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    if "png" not in name:  # which has a checksum over every part
        assert int(done.stdout) > 0, "some spoilt files are still whole enough, or nothing was tried"


def png_claiming(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    packed = zlib.compressobj(9)
    rows = b"".join(packed.compress(bytes(1 << 20)) for _ in range(64)) + packed.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def claiming(name: str, width: int, height: int) -> bytes:
    """A small file whose header says that it is large."""
    data = bytearray(each()[name]())
    if name.startswith("jpeg") and name != "jpeg2000":
        at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    elif name == "gif":
        data[6:10] = struct.pack("<HH", width, height)
    elif name == "bmp":
        data[18:26] = struct.pack("<ii", width, height)
    elif name == "webp":
        data[26:30] = struct.pack("<HH", width & 0x3FFF, height & 0x3FFF)
    elif name == "webp animated":
        data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif name == "jpeg2000":
        at = data.find(b"\xff\x4f\xff\x51")
        data[at + 8 : at + 16] = struct.pack(">II", width, height)
        at = data.find(b"ihdr")
        data[at + 4 : at + 12] = struct.pack(">II", height, width)
    return bytes(data)


@pytest.mark.parametrize("name", ["jpeg", "jpeg progressive", "gif", "bmp", "webp", "webp animated", "jpeg2000"])
def test_a_picture_that_claims_to_be_enormous_is_refused_before_it_is_decoded(name: str):
    data = claiming(name, 16383 if name == "webp" else 65_000, 16383 if name == "webp" else 65_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ReadFailed, match=r"claims (65,000 × 65,000 |16,383 × 16,383 |more )pixels"):
        fingerprints(data)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < GIGABYTE // 8


@pytest.mark.parametrize("size", [(65_000, 65_000), (1 << 31, 1), (3, (1 << 31) - 1), (1 << 21, 64)])
def test_a_png_of_an_impossible_size_is_refused(size: tuple[int, int]):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ReadFailed):
        fingerprints(png_claiming(*size))
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < GIGABYTE // 8


def test_the_limits_are_those_that_were_given():
    data = saved(scene(1, 400, 300), "PNG")
    assert fingerprints(data, limits=Limits(pixels=120_000))
    with pytest.raises(ReadFailed, match="400 × 300"):
        fingerprints(data, limits=Limits(pixels=119_999))
    with pytest.raises(ReadFailed, match="400 × 300"):
        fingerprints(data, limits=Limits(memory=120_000))


def test_a_progressive_jpeg_of_thousands_of_passes_is_refused():
    data = saved(scene(1, 2000, 1500), "JPEG", progressive=True)
    at = data.rfind(b"\xff\xda")
    passes = data[:at] + data[at:-2] * 1 + b"\xff\xda\0\x08\x01\x01\0\x01\x3f\x00" * 2000 + data[-2:]
    with pytest.raises(ReadFailed, match="more passes"):
        fingerprints(passes)


def test_an_animation_that_breaks_off_gives_the_frames_before():
    frames = [scene(seed, 160, 120) for seed in range(4)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)
    assert [picture.frame for picture in fingerprints(data[: len(data) * 6 // 10])] == [0, 1]


def test_a_camera_file_full_of_beginnings_of_jpegs_is_looked_through_in_time():
    data = b"FUJIFILMCCD-RAW " + b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0" * 400_000
    with pytest.raises(ReadFailed, match="no preview"):
        fingerprints(data)


def test_a_tiff_whose_directories_run_in_a_circle_is_decoded_once():
    data = bytearray(saved(scene(1, 64, 48), "TIFF"))
    first = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, first + 2 + 12 * count, first)
    assert len(fingerprints(bytes(data))) == 1


def test_a_gif_without_a_frame_and_a_picture_without_pixels_are_told():
    for data in (b"GIF89a\1\0\1\0\0\0\0;", png_claiming(0, 5), claiming("jpeg", 0, 10), claiming("bmp", 0, 0)):
        with pytest.raises(ReadFailed):
            fingerprints(data)


def test_the_smallest_picture_has_a_fingerprint_without_quality():
    for size in ((1, 1), (4, 900), (900, 4)):
        for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"):
            (picture,) = fingerprints(saved(Image.new("RGB", size, "red"), kind))
            assert picture.fingerprint == (bytes(32), 0)


def test_a_stream_is_read_from_where_it_stands():
    data = saved(scene(1, 64, 48), "PNG")
    stream = io.BytesIO(b"before" + data)
    stream.seek(6)
    assert fingerprints(stream) == fingerprints(data)
