"""Films made to do harm: they cost themselves, and nothing but their own bytes is read."""

from __future__ import annotations

import io
import multiprocessing
import random
import resource
import struct
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from amparo.known.film import Film, Limits, fingerprint
from tests.known.film_specimens import film, scenes
from tests.known.test_film import made, pictures

LIMITS = Limits(seconds=5, frames=500, pixels=1_000_000, part=8 << 20)
KINDS = {
    "mp4": ("libx264", "mp4", "yuv420p"),
    "mkv": ("mpeg4", "matroska", "yuv420p"),
    "avi": ("mjpeg", "avi", "yuvj420p"),
    "webm": ("libvpx-vp9", "webm", "yuv420p"),
    "mov": ("prores_ks", "mov", "yuv422p10le"),
    "mpeg": ("mpeg2video", "mpeg", "yuv420p"),
    "ts": ("libx264", "mpegts", "yuv420p"),
    "flv": ("flv", "flv", "yuv420p"),
    "asf": ("wmv2", "asf", "yuv420p"),
    "gif": ("gif", "gif", "rgb8"),
    "ffv1": ("ffv1", "matroska", "bgr0"),
    "vp8": ("libvpx", "webm", "yuv420p"),
    "hevc": ("libx265", "mp4", "yuv420p"),
    "av1": ("libsvtav1", "mp4", "yuv420p"),
}


def specimen(kind: str) -> bytes:
    codec, container, pixels = KINDS[kind]
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    return made(
        list(scenes(96, 128, 40, 10, 5)), codec, container, rate=10, pixels=pixels, bits=200_000, options=options
    ).getvalue()


def spoilt(content: bytes, chance: random.Random) -> bytes:
    """Bytes changed, a piece cut out, doubled, filled or the end gone; more often near the start, where the sizes stand."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        reach = chance.choice((64, 1024, len(changed), len(changed)))
        at = chance.randrange(max(1, min(reach, len(changed))))
        act = chance.randrange(6)
        if act == 0:
            changed[at] = chance.randrange(256)
        elif act == 1:
            changed[at : at + 4] = chance.choice(
                (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), b"\x00\x00\x00\x01")
            )
        elif act == 2:
            changed[at] ^= 1 << chance.randrange(8)
        elif act == 3:
            del changed[at : at + chance.randrange(1, 200)]
        elif act == 4:
            changed[at:at] = changed[at : at + chance.randrange(1, 200)]
        else:
            changed[at : at + 64] = chance.randbytes(64)
    return bytes(changed[: chance.randrange(len(changed))] if chance.random() < 0.1 else changed) or b"\0"


def _read_all(films: list[bytes], at: object, answers: object) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number, content in enumerate(films):
        at.value = number  # type: ignore[attr-defined]
        for keyframes_only, every in ((False, 0.5), (True, 0.5), (False, 0.0)):
            began = time.monotonic()
            found = fingerprint(io.BytesIO(content), every, keyframes_only, LIMITS)
            assert isinstance(found, Film) and len(found.frames) <= LIMITS.frames
            assert all(len(frame.bits) == 32 and frame.time >= 0 and frame.number >= 0 for frame in found.frames)
            assert found.frames or found.problem
            assert time.monotonic() - began < LIMITS.seconds + 5, "it was not stopped in time"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answers.put(peak)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS)
def test_a_spoilt_film_ends_in_time_and_memory_with_what_was_read(kind: str):
    chance = random.Random(f"films-{kind}")
    sound = specimen(kind)
    films = [sound, *(spoilt(sound, chance) for _ in range(60))]
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may stand still
    at, answers = context.Value("i", -1), context.Queue()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = context.Process(target=_read_all, args=(films, at, answers))
    child.start()
    child.join(120)
    if child.is_alive():
        child.kill()
        pytest.fail(f"film {at.value} never ended")
    assert child.exitcode == 0, f"film {at.value} broke the reader"
    assert answers.get(timeout=5) - before < 400_000, "kilobytes"


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_film_that_was_cut_gives_what_is_left_of_it_and_says_so(tmp_path: Path, share: float):
    for container, options in (("mp4", {"movflags": "faststart"}), ("matroska", {}), ("mpegts", {}), ("avi", {})):
        whole = _film_with(container, options, tmp_path)
        found = fingerprint(io.BytesIO(whole[: int(len(whole) * share)]))
        assert 0 < len(found.frames) < 10
        if container == "mp4":  # the others claim no length of their pictures
            assert found.problem is not None


def _film_with(container: str, options: dict[str, str], where: Path) -> bytes:
    path = where / f"film.{container}"
    with av.open(str(path), "w", format=container, container_options=options) as written:
        stream = written.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = 240, 320, "yuv420p"
        for picture in pictures(300):
            written.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        written.mux(stream.encode(None))
    return path.read_bytes()


def test_an_mp4_whose_index_is_gone_is_no_film(tmp_path: Path):
    whole = _film_with("mp4", {}, tmp_path)
    assert whole.index(b"mdat") < whole.index(b"moov")
    assert fingerprint(io.BytesIO(whole[: whole.index(b"moov") - 4])) == (
        [],
        None,
        0,
        0,
        "No film can be read from it.",
    )


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"GIF89a", b"\0\0\0\x18ftypisom", b"RIFF\xff\xff\xff\xffAVI LIST", b"text\n" * 999]
)
def test_what_is_no_film_is_told_to_be_none(content: bytes):
    found = fingerprint(io.BytesIO(content))
    assert found.frames == [] and found.problem is not None


def test_no_list_of_other_files_is_followed(tmp_path: Path):
    other = tmp_path / "other.mp4"
    film(other, pictures(30))
    lists = {
        "a.ffconcat": f"ffconcat version 1.0\nfile {other}\n",
        "a.m3u8": f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n{other}\n#EXT-X-ENDLIST\n",
        "b.m3u8": f"#EXTM3U\n#EXTINF:1.0,\nfile://{other}\n#EXT-X-ENDLIST\n",
        "a.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
        f"<Representation><BaseURL>{other}</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "a.txt": f"[playlist]\nFile1={other}\n",
        "rtsptext.mov": f"rtsptextrtsp://127.0.0.1/{other}\n",
    }
    for name, text in lists.items():
        path = tmp_path / name
        path.write_text(text)
        found = fingerprint(path)
        assert (found.frames, found.problem) == ([], "No film can be read from it."), name


def _pointing_at(content: bytes, path: Path) -> bytes:
    """A QuickTime film whose samples are said to lie in the file at ``path``."""
    name = str(path).encode()
    record = bytes(4) + bytes(10) + b"\3vol" + bytes(24) + bytes(12) + b"\1x" + bytes(62)
    record += (
        bytes(16)
        + struct.pack(">HH", 1, 1)
        + bytes(16)
        + struct.pack(">HH", 2, len(name))
        + name
        + bytes(len(name) % 2)
    )
    record += struct.pack(">HH", 0xFFFF, 0)
    entry = struct.pack(">I", 8 + len(record)) + b"alis" + record
    changed = bytearray(content)
    at = content.index(b"dref") + 12  # its size and kind, version and flags, count
    old = struct.unpack_from(">I", content, at)[0]
    changed[at : at + old] = entry
    for atom in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        place = content.index(atom, content.index(b"moov")) - 4
        struct.pack_into(">I", changed, place, struct.unpack_from(">I", content, place)[0] + len(entry) - old)
    return bytes(changed)


def test_a_quicktime_film_whose_samples_are_in_another_file_gives_nothing_of_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = made(pictures(30), container="mov").getvalue()
    (tmp_path / "secret.mov").write_bytes(whole)
    pointing = tmp_path / "pointing.mov"
    pointing.write_bytes(_pointing_at(whole, tmp_path / "secret.mov"))
    with av.open(str(pointing), options={"enable_drefs": "1", "use_absolute_path": "1"}) as followed:
        assert len(list(followed.decode(video=0))) == 30, "the specimen does not point anywhere"
    monkeypatch.chdir(tmp_path)  # where the end of that path would be looked for too
    assert fingerprint(pointing).frames == []


def test_pictures_of_too_many_pixels_are_refused_before_they_are_made():
    gif = bytearray(made(pictures(3), "gif", "gif", pixels="rgb8").getvalue())
    gif[6:10] = b"\xff\xff\xff\xff"
    avi = bytearray(made(pictures(3), "rawvideo", "avi", pixels="bgr24").getvalue())
    at = avi.index(b"strf") + 12
    avi[at : at + 8] = struct.pack("<II", 65000, 65000)
    for bomb in (gif, avi):
        began = time.monotonic()
        found = fingerprint(io.BytesIO(bomb))
        assert found.frames == [] and found.problem is not None
        assert time.monotonic() - began < 2
    told = "Its pictures have more than the 36,000,000 pixels that are read, or no size at all."
    assert fingerprint(io.BytesIO(avi)).problem == told


def test_a_film_that_grows_too_large_on_its_way_gives_what_was_before():
    small = made(pictures(60), "libx264", "h264").getvalue()
    large = made(list(scenes(480, 640, 5)), "libx264", "h264").getvalue()
    found = fingerprint(io.BytesIO(small + large), limits=Limits(pixels=100_000))
    assert len(found.frames) == 3 and found.problem is not None and found.problem.endswith("could not be decoded.")


class _Slow(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        time.sleep(0.02)
        return super().read(size)


def test_after_its_time_a_film_gives_what_was_read_until_then():
    film = _Slow(made(pictures(300), "mjpeg", "avi", pixels="yuvj420p", bits=20_000_000).getvalue())
    began = time.monotonic()
    found = fingerprint(film, 0, limits=Limits(seconds=0.5))
    assert time.monotonic() - began < 2
    assert 0 < len(found.frames) < 300 and found.problem == "Reading it was given up after 1 seconds."


class _Broken(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > len(self.getbuffer()) // 2:
            raise OSError(5, "Input/output error")
        return super().read(size)


def test_a_disk_that_fails_under_a_film_is_told():
    found = fingerprint(_Broken(made(pictures(300), "mjpeg", "avi", pixels="yuvj420p").getvalue()), 0)
    assert 0 < len(found.frames) < 300 and found.problem == "Not all of it can be read: Input/output error."


def test_a_part_that_is_too_large_is_not_taken_into_memory():
    source = made(pictures(5), "rawvideo", "avi", pixels="bgr24")
    found = fingerprint(source, 0, limits=Limits(part=100_000))
    assert found.problem == "A part of it is larger than the 100,000 bytes that are read at once."


def test_a_codec_that_is_not_named_is_refused():
    found = fingerprint(made(pictures(5), "snow", "avi"))
    assert found.frames == [] and found.problem == "Its pictures are coded as snow, which is not read here."
    unknown = made(pictures(5), "mpeg4", "avi").getvalue().replace(b"FMP4", b"ZQZQ").replace(b"XVID", b"ZQZQ")
    told = "Its pictures are coded in a way that is not known here."
    assert fingerprint(io.BytesIO(unknown)).problem == told


def test_ten_hours_are_read_in_a_few_megabytes():
    picture = np.random.default_rng(1).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    source = made([picture] * 3_600, "mpeg4", "matroska", rate=Fraction(1, 10), bits=1000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = fingerprint(source)
    assert len(found.frames) == 3_600 and found.duration == pytest.approx(36_000, abs=20)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000, "kilobytes"
