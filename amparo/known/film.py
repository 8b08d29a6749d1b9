"""A film's fingerprints, as vPDQ takes them: PDQ of one frame a second, of every frame, or of the key frames.

The frames are those that the published program takes (ThreatExchange, vpdq/cpp): of each ``int(every * rate)`` frames the
first, counted as they are shown. That program goes by the rate that the film claims, and by the first track alone. So that no
film gets away with a frame an hour, a claimed rate above 120 is taken for 120, and a frame is taken too where the last one
is twice the interval ago; tracks after the first are read as well.

Time, frames, pixels and memory are limited, and a film past a limit gives what was read until then. The decoders are C,
though: run this in a child, so that one that dies costs that film only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from amparo.errors import ReadFailed
from amparo.known.film_features import Frame
from amparo.known.film_luma import fingerprint_of
from amparo.known.film_match import compare, shares
from amparo.known.film_opening import BROKEN, CODECS, Limits, Reader, opened

__all__ = ["Film", "Frame", "Limits", "compare", "fingerprint", "shares"]

FASTEST: Final = 120.0  # frames a second; what claims more is sampled as if it had these
_RATE: Final = 25.0  # where the film says none
_TRACKS: Final = 8


class Film(NamedTuple):
    """What was taken of a film.

    ``frames`` are those of one track after another; ``duration`` is in seconds, as the film claims it; ``width`` and
    ``height`` are of its first track, 0 where there is none; ``problem`` is a sentence where it was read only in part, or not.
    """

    frames: list[Frame]
    duration: float | None
    width: int
    height: int
    problem: str | None


def fingerprint(
    source: Path | BinaryIO,
    every: float = 1.0,
    keyframes_only: bool = False,
    limits: Limits = Limits(),  # noqa: B008 - it cannot change
    threads: int = 1,
) -> Film:
    """The fingerprints of a film's frames, one in ``every`` so many seconds (0: all).

    ``source`` is a path, or a file object that can seek, which is read from its start and left open. ``keyframes_only``
    takes the key frames, no closer than ``every``: many times quicker, but few of them are among the frames that others
    take, so it is a first filter against lists made alike and never an answer. A frame's number is then reckoned from its
    time. ``threads`` are the decoder's, and change no fingerprint. Nothing that the film holds raises. Raises ReadFailed
    where the file at a path cannot be opened.
    """
    if isinstance(source, Path):
        try:
            stream = source.open("rb")
        except OSError as error:
            raise ReadFailed(f"The film cannot be opened: {error.strerror}.") from None
        with stream:
            return fingerprint(stream, every, keyframes_only, limits, threads)
    reader = Reader(source, limits)
    container = opened(reader, limits)
    if container is None:
        return Film([], None, 0, 0, reader.stopped or "No film can be read from it.")
    try:
        return _Taking(container, reader, limits, threads).film(every, keyframes_only)
    finally:
        container.close()


class _Track:
    """One track of pictures, and which of its frames are wanted."""

    def __init__(self, stream: VideoStream, every: float, keyframes_only: bool) -> None:
        self.stream, self.every, self.keyframes_only = stream, every, keyframes_only
        self.rate = _rate(stream)
        self.step = max(1, int(every * self.rate))
        self.base = float(stream.time_base or 0)
        self.start = stream.start_time
        self.frames: list[Frame] = []
        self.count = 0  # frames that were shown
        self.last = -math.inf  # when the last that was taken is
        self.end = 0.0  # when the last is
        # Of such a codec each packet is a frame by itself: one that is not wanted need not be decoded.
        self.apart = stream.codec_context.codec.intra_only and not stream.codec_context.codec.delay

    def wanted(self, pts: int | None) -> tuple[int, float] | None:
        """Number and time of the next frame, where it is wanted."""
        number = self.count
        self.count += 1
        if pts is None:
            moment = number / self.rate
        else:
            self.start = pts if self.start is None else self.start
            moment = max(0.0, (pts - self.start) * self.base)
        self.end = moment
        if self.keyframes_only:
            number, take = round(moment * self.rate), moment >= self.last + self.every
        else:
            take = number % self.step == 0 or (self.every > 0 and moment > self.last + 2 * self.every)
        if not take:
            return None
        self.last = moment
        return number, moment

    def was_cut(self) -> bool:
        """Whether it claims to be longer than it was found to be, by more than two seconds and a tenth."""
        claimed = (self.stream.duration or 0) * self.base
        return claimed - self.end > max(2.0, claimed / 10)


def _rate(stream: VideoStream) -> float:
    """Frames a second: the average, or where that is absurd (as of raw DV) what the times fit, or what the codec says."""
    claimed = [float(rate) for rate in (stream.average_rate, stream.base_rate, stream.guessed_rate) if rate]
    sound = [rate for rate in claimed if 0 < rate <= FASTEST]
    return sound[0] if sound else FASTEST if max(claimed, default=0) > 0 else _RATE


class _Taking:
    """One film being read."""

    def __init__(self, container: InputContainer, reader: Reader, limits: Limits, threads: int) -> None:
        self.container, self.reader, self.limits, self.threads = container, reader, limits, threads
        self.taken = self.broken = 0
        self.refused: str | None = None
        videos = container.streams.video
        # A cover is no film, unless there is nothing else.
        self.videos = [stream for stream in videos if not stream.disposition & Disposition.attached_pic] or [*videos]

    def film(self, every: float, keyframes_only: bool) -> Film:
        """All of it."""
        tracks = {
            stream.index: _Track(stream, every, keyframes_only)
            for stream in self.videos[:_TRACKS]
            if self._is_read(stream)
        }
        for stream in self.container.streams:
            if stream.index not in tracks:
                stream.discard = Discard.all
        whole = self._read(tracks) if tracks else True
        frames = [frame for track in tracks.values() for frame in track.frames]
        problem = self.reader.stopped or self.refused
        if problem is None and self.taken >= self.limits.frames:
            problem = f"Only its first {self.limits.frames:,} pictures were taken."
        if problem is None and self.broken:
            problem = f"Of its parts, {self.broken:,} could not be decoded."
        if problem is None and (not whole or any(track.was_cut() for track in tracks.values())):
            problem = "It ends before it should: the film was cut or is damaged."
        if problem is None and not frames:
            problem = "It holds no pictures."
        duration = self.container.duration
        first = self.videos[0].codec_context if self.videos else None
        return Film(
            frames,
            duration / av.time_base if duration is not None and duration >= 0 else None,
            first.width if first is not None else 0,
            first.height if first is not None else 0,
            problem,
        )

    def _is_read(self, stream: VideoStream) -> bool:
        """Whether a track can be read, and makes ready its decoder; if not, why is kept."""
        context = stream.codec_context
        if context is None or context.codec.name not in CODECS:
            name = context.codec.name if context is not None else stream.codec_tag
            self.refused = self.refused or f"Its pictures are coded as {name}, which is not read here."
            return False
        pixels, most = context.width * context.height, self.limits.pixels
        if pixels > most:
            self.refused = self.refused or f"Its pictures have {pixels:,} pixels, more than the {most:,} that are read."
            return False
        context.thread_count = self.threads
        context.options = {"max_pixels": str(most)}
        return True

    def _read(self, tracks: dict[int, _Track]) -> bool:
        """Packet by packet; False where the film breaks off."""
        packets = self.container.demux()
        while True:
            try:
                packet: Packet[Any] = next(packets)
            except StopIteration:
                return True
            except BROKEN:
                return False
            self.reader.since = 0
            if (track := tracks.get(packet.stream_index)) is not None:
                self._take(track, packet)
            if self._is_enough():
                return True

    def _take(self, track: _Track, packet: Packet[VideoStream]) -> None:
        place = None
        if (
            packet.size or packet.dts is not None
        ):  # not the empty one at the end, for which the decoder gives what it has left
            if track.keyframes_only and not packet.is_keyframe:
                return
            if track.apart:
                place = track.wanted(packet.pts) if packet.size else None
                if place is None:
                    return
        for frame in self._decoded(packet):
            taken = place if track.apart else track.wanted(frame.pts)
            if taken is not None:
                try:
                    track.frames.append(Frame(*taken, *fingerprint_of(frame)))
                    self.taken += 1
                except BROKEN:
                    self.broken += 1
            if self._is_enough():
                return

    def _decoded(self, packet: Packet[VideoStream]) -> Iterator[VideoFrame]:
        try:
            yield from packet.decode()
        except BROKEN:
            self.broken += 1

    def _is_enough(self) -> bool:
        return self.taken >= self.limits.frames or self.reader.late()
