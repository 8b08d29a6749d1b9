"""A film's fingerprints: the frames that vPDQ takes, of every kind of pixels, at each interval."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from amparo.errors import ReadFailed
from amparo.known import film_track, pdq
from amparo.known.film import Limits, compare, fingerprint
from amparo.known.pdq import distance
from tests.known.film_specimens import clouds, cropped, film, scenes, smaller, with_logo

HEIGHT, WIDTH = 240, 320


@cache
def pictures(frames: int, rate: int = 30, seed: int = 3) -> list[np.ndarray]:
    return list(scenes(HEIGHT, WIDTH, frames, rate, seed))


def made(*args: object, **kinds: object) -> io.BytesIO:
    out = io.BytesIO()
    film(out, *args, **kinds)  # type: ignore[arg-type]
    out.seek(0)
    return out


def by_the_published_road(source: io.BytesIO, every: float, rate: float) -> list[tuple[int, bytes, int]]:
    """Each ``int(every * rate)``-th frame that the decoder gives, turned to RGB as libswscale does unasked, and PDQ of it."""
    found = []
    with av.open(source) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % max(1, int(every * rate)) == 0:
                rgb = frame.to_ndarray(format="rgb24").astype(np.float64)
                luma = np.rint(rgb @ [0.299, 0.587, 0.114]).astype(np.uint8)
                found.append((number, *pdq.of_luma(luma)))
    return found


KINDS = [
    ("libx264", "mp4", "yuv420p", 2),
    ("libx264", "mp4", "yuvj420p", 2),
    ("libx264", "matroska", "yuv444p", 2),
    ("libx264", "mp4", "yuv420p10le", 4),
    ("mpeg4", "avi", "yuv420p", 2),
    ("mpeg2video", "mpegts", "yuv422p", 2),
    ("libvpx-vp9", "webm", "yuv420p", 4),
    ("mjpeg", "mov", "yuvj422p", 2),
    ("prores_ks", "mov", "yuv422p10le", 4),
    ("ffv1", "matroska", "gray", 0),
    ("ffv1", "matroska", "gray10le", 4),
    ("ffv1", "matroska", "bgr0", 2),
    ("rawvideo", "avi", "bgr24", 2),
    ("qtrle", "mov", "rgb24", 2),
    ("gif", "gif", "rgb8", 2),
]


@pytest.mark.parametrize(("codec", "container", "pixels", "most"), KINDS)
@pytest.mark.parametrize("grain", ["fine", "dull"])
def test_frames_and_fingerprints_are_those_of_the_published_road(
    codec: str, container: str, pixels: str, most: int, grain: str
):
    shown = pictures(45, 15)
    if grain == "dull":  # of a quality below 100, where video range shows
        shown = [np.clip(110 + picture.astype(np.int16) // 16, 0, 255).astype(np.uint8) for picture in shown]
        most = max(most, 12)
    source = made(shown, codec, container, rate=15, pixels=pixels)
    found = fingerprint(source, every=0.5)
    source.seek(0)
    with av.open(source) as opened:
        rate = float(opened.streams.video[0].average_rate or 0)
    source.seek(0)
    theirs = by_the_published_road(source, 0.5, rate)
    assert [frame.number for frame in found.frames] == [number for number, _, _ in theirs] and len(theirs) >= 5
    for ours, (_, bits, quality) in zip(found.frames, theirs, strict=True):
        assert abs(ours.quality - quality) <= 1
        if quality >= 50:
            assert distance(ours.bits, bits) <= most
    assert found.problem is None and (found.height, found.width) == (HEIGHT, WIDTH)
    assert found.duration is None or abs(found.duration - 3) < 0.3


def test_the_quality_of_a_dull_film_of_video_range_is_that_of_its_full_range():
    """Unstretched luma would count a seventh less, and frames near the limit would be left out of a comparison."""
    soft = [np.clip(128 + (picture.astype(np.int16) - 128) // 9, 0, 255).astype(np.uint8) for picture in pictures(30)]
    video, full = (fingerprint(made(soft, "libx264", pixels=kind, bits=8_000_000)) for kind in ("yuv420p", "yuvj420p"))
    assert 20 < full.frames[0].quality < 95
    assert abs(video.frames[0].quality - full.frames[0].quality) <= 3


@pytest.mark.parametrize(
    ("every", "rate", "step"), [(1.0, 30, 30), (1.0, 25, 25), (0.5, 15, 7), (0.0, 30, 1), (0.01, 30, 1)]
)
def test_of_each_interval_the_first_frame_is_taken(every: float, rate: int, step: int):
    found = fingerprint(made(pictures(61), rate=rate), every)
    assert [frame.number for frame in found.frames] == list(range(0, 61, step))
    for frame in found.frames:
        assert frame.time == pytest.approx(frame.number / rate, abs=0.002)


@pytest.mark.parametrize(
    "options",
    [
        {"x264-params": "bframes=8:b-pyramid=normal:b-adapt=0:ref=4"},
        {"x264-params": "bframes=3:open-gop=1:keyint=24:min-keyint=12"},
        {"x264-params": "bframes=2:interlaced=1:tff=1"},
        {"x264-params": "intra-refresh=1:bframes=0"},
        {"x264-params": "bframes=16:b-adapt=0:b-pyramid=none:keyint=200:scenecut=0"},
        {"tune": "zerolatency"},
    ],
    ids=lambda options: next(iter(options.values())),
)
@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts", "avi", "h264"])
def test_what_is_passed_over_changes_no_frame(monkeypatch: pytest.MonkeyPatch, container: str, options: dict[str, str]):
    source = made(pictures(100), "libx264", container, options={"preset": "superfast", **options})
    quick = fingerprint(source, 0.4)
    monkeypatch.setattr(film_track.Track, "_has_order", lambda *_: False)
    assert quick == fingerprint(source, 0.4)
    assert len(quick.frames) == (10 if container == "h264" else 9) and quick.problem is None  # the one says no rate


def test_frames_that_no_other_is_made_from_are_passed_over(monkeypatch: pytest.MonkeyPatch):
    """Half of them need not be decoded for one frame a second: that is where the time goes."""
    decoded = []
    frames = film_track.Track._frames
    monkeypatch.setattr(
        film_track.Track, "_frames", lambda self, packet: (decoded.append(1) or frame for frame in frames(self, packet))
    )
    fingerprint(made(pictures(120), options={"x264-params": "bframes=3:b-adapt=0"}))
    assert 30 <= len(decoded) < 80
    decoded.clear()
    fingerprint(made(pictures(120), "mjpeg", "mov", pixels="yuvj420p"))
    assert len(decoded) == 4


@pytest.mark.parametrize("container", ["matroska", "mp4"])
def test_no_second_of_a_film_whose_rate_changes_is_left_out(container: str):
    """By the number of frames alone, as the published program goes, nothing is seen of a minute of slow frames."""
    times = [*range(0, 2000, 33), *range(2000, 62000, 1000)]
    shown = pictures(len(times), 30)
    found = fingerprint(made(shown, container=container, times=times))
    gaps = np.diff([frame.time for frame in found.frames])
    assert gaps.max() <= 3.1 and found.frames[-1].time > 58


def test_a_film_that_claims_a_million_frames_a_second_is_still_sampled():
    source = made(pictures(300), "mpeg4", "avi").getvalue()
    at = source.index(b"avih") + 8
    claims = bytearray(source)
    claims[at : at + 4] = (1).to_bytes(4, "little")
    header = source.index(b"strh") + 8
    claims[header + 20 : header + 28] = (1).to_bytes(4, "little") + (1_000_000).to_bytes(4, "little")
    assert len(fingerprint(io.BytesIO(claims)).frames) >= 3


def test_key_frames_alone_are_a_filter_with_their_times():
    source = made(pictures(180), options={"g": "30", "sc_threshold": "0"})
    keys, all_frames = fingerprint(source, 0, keyframes_only=True), fingerprint(source, 0)
    assert [frame.number for frame in keys.frames] == [0, 30, 60, 90, 120, 150]
    assert set(keys.frames) <= set(all_frames.frames)
    assert [frame.number for frame in fingerprint(source, 2.0, keyframes_only=True).frames] == [0, 60, 120]


@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9", "mpeg2video"])
def test_more_threads_change_nothing(codec: str):
    source = made(pictures(60), codec, "matroska")
    assert fingerprint(source, 0.2, threads=1) == fingerprint(source, 0.2, threads=3)


def test_a_path_and_a_file_object_are_one_film(tmp_path: Path):
    path = tmp_path / "film.mp4"
    film(path, pictures(40))
    with path.open("rb") as stream:
        stream.seek(100)
        assert fingerprint(path) == fingerprint(stream)
        assert not stream.closed
    with pytest.raises(ReadFailed, match="The film cannot be opened: No such file"):
        fingerprint(tmp_path / "none.mp4")


def test_every_track_of_pictures_is_read_the_first_one_first():
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as container:
        streams = [container.add_stream("mpeg4", rate=30) for _ in range(2)]
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for shown in zip(pictures(60, seed=3), pictures(60, seed=4), strict=True):
            for stream, picture in zip(streams, shown, strict=True):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))
    found = fingerprint(out)
    assert [frame.number for frame in found.frames] == [0, 30, 0, 30]
    for seed, part in ((3, found.frames[:2]), (4, found.frames[2:])):
        assert compare(part, fingerprint(made(pictures(60, seed=seed), "mpeg4", "matroska")).frames) == (1, 1)


def test_sound_is_no_film_but_the_picture_on_its_cover_is_seen():
    def sounding(cover: bool) -> io.BytesIO:
        out = io.BytesIO()
        with av.open(out, "w", format="mp4") as container:
            sound = container.add_stream("aac", rate=44100)
            if cover:
                picture = container.add_stream("mjpeg", rate=1)
                picture.height, picture.width, picture.pix_fmt = HEIGHT, WIDTH, "yuvj420p"
                picture.disposition = Disposition.attached_pic
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 44100
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
            if cover:
                shown = av.VideoFrame.from_ndarray(clouds(HEIGHT, WIDTH, 9), format="rgb24").reformat(format="yuvj420p")
                container.mux(picture.encode(shown))
                container.mux(picture.encode(None))
        return out

    assert fingerprint(sounding(False)) == ([], pytest.approx(1, abs=0.1), 0, 0, "It holds no pictures.")
    covered = fingerprint(sounding(True))
    assert len(covered.frames) == 1 and covered.problem is None


def test_a_still_picture_in_a_films_container_is_one_frame():
    found = fingerprint(made([clouds(HEIGHT, WIDTH, 5)], "mjpeg", "mov", pixels="yuvj420p"))
    assert len(found.frames) == 1 and found.frames[0].quality == 100 and found.problem is None


def test_a_picture_too_small_to_be_told_by_is_of_no_quality():
    tiny = fingerprint(made([np.zeros((4, 4, 3), np.uint8)] * 3, "ffv1", "matroska"))
    assert [frame.quality for frame in tiny.frames] == [0] and tiny.problem is None


@pytest.mark.parametrize(
    ("change", "least"),
    [(None, 0.95), (smaller(144, 192), 0.95), (cropped(0.02), 0.3), (with_logo, 0.75)],
    ids=["re-encoded", "scaled", "cropped by 2 %", "with a logo"],
)
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_copy_is_known_and_another_film_is_not(codec: str, change: object, least: float):
    shown = pictures(120, 30)
    known = fingerprint(made(shown, bits=3_000_000), 0.5).frames
    copied = shown if change is None else [change(picture) for picture in shown]  # type: ignore[operator]
    copy = fingerprint(made(copied, codec, "matroska", bits=400_000), 0.5).frames
    query, reference = compare(copy, known)
    assert min(query, reference) >= least
    assert compare(copy, fingerprint(made(pictures(120, seed=11)), 0.5).frames) == (0, 0)


def test_only_so_many_frames_are_taken():
    found = fingerprint(made(pictures(60)), 0, limits=Limits(frames=7))
    assert len(found.frames) == 7 and found.problem == "Only its first 7 pictures were taken."
