"""A film's fingerprints, as vPDQ takes them: PDQ of one frame a second, of every frame, or of the key frames.

The frames are those that the published program takes (ThreatExchange, vpdq/cpp): of each ``int(every * rate)`` frames the
first, counted as they are shown. That program goes by the rate that the film claims, and by the first track alone. So that no
film gets away with a frame an hour, a claimed rate above 120 is taken for 120, and a frame is taken too where the last one
is twice the interval ago; tracks after the first are read as well.

Time, frames, pixels and memory are limited, and a film past a limit gives what was read until then. The decoders are C,
though: run this in a child, so that one that dies costs that film only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from amparo.errors import ReadFailed
from amparo.known.film_features import Frame
from amparo.known.film_match import compare, shares
from amparo.known.film_opening import BROKEN, CODECS, Limits, Reader, opened
from amparo.known.film_track import Track

__all__ = ["Film", "Frame", "Limits", "compare", "fingerprint", "shares"]

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
        return Film([], None, 0, 0, reader.stopped or reader.failed or "No film can be read from it.")
    try:
        return _Taking(container, reader, limits, threads).film(every, keyframes_only)
    finally:
        container.close()


class _Taking:
    """One film being read."""

    def __init__(self, container: InputContainer, reader: Reader, limits: Limits, threads: int) -> None:
        self.container, self.reader, self.limits, self.threads = container, reader, limits, threads
        self.tracks: dict[int, Track] = {}
        self.refused: str | None = None
        videos = container.streams.video
        # A cover is no film, unless there is nothing else.
        self.videos = [stream for stream in videos if not stream.disposition & Disposition.attached_pic] or [*videos]

    def film(self, every: float, keyframes_only: bool) -> Film:
        """All of it."""
        for stream in self.videos[:_TRACKS]:
            if self._is_read(stream):
                self.tracks[stream.index] = Track(stream, every, keyframes_only, self.limits, self.threads)
        for other in self.container.streams:
            if other.index not in self.tracks:
                other.discard = Discard.all
        whole = self._read() if self.tracks else True
        frames = [frame for track in self.tracks.values() for frame in track.frames]
        duration = self.container.duration
        first = self.videos[0].codec_context if self.videos else None
        return Film(
            frames,
            duration / av.time_base if duration is not None and duration >= 0 else None,
            first.width if first is not None else 0,
            first.height if first is not None else 0,
            self._problem(whole),
        )

    def _problem(self, whole: bool) -> str | None:
        tracks = self.tracks.values()
        if why := self.reader.stopped or self.reader.failed or self.refused:
            return why
        if self._taken() >= self.limits.frames:
            return f"Only its first {self.limits.frames:,} pictures were taken."
        if broken := sum(track.broken for track in tracks):
            return f"Of its parts, {broken:,} could not be decoded."
        if not whole or any(track.was_cut() for track in tracks):
            return "It ends before it should: the film was cut or is damaged."
        return None if self._taken() else "It holds no pictures."

    def _is_read(self, stream: VideoStream) -> bool:
        """Whether a track can be read; if not, why is kept."""
        context = stream.codec_context
        if context is None:
            self.refused = self.refused or "Its pictures are coded in a way that is not known here."
            return False
        if context.codec.name not in CODECS:
            self.refused = self.refused or f"Its pictures are coded as {context.codec.name}, which is not read here."
            return False
        if not context.width:  # probing it found more than the limit, or nothing that can be
            self.refused = self.refused or (
                f"Its pictures have more than the {self.limits.pixels:,} pixels that are read, or no size at all."
            )
            return False
        return True

    def _read(self) -> bool:
        """Packet by packet; False where the film breaks off."""
        packets = self.container.demux()
        while True:
            try:
                packet: Packet[Any] = next(packets)
            except StopIteration:
                return True
            except BROKEN:
                for track in self.tracks.values():
                    self._take(track.decoded(None))
                return False
            self.reader.since = 0
            if packet.stream_index in self.tracks:
                self._take(self.tracks[packet.stream_index].decoded(packet))
            if self._is_enough():
                return True

    def _take(self, decoded: Iterator[None]) -> None:
        for _ in decoded:
            if self._is_enough():
                return

    def _is_enough(self) -> bool:
        return self._taken() >= self.limits.frames or self.reader.late()

    def _taken(self) -> int:
        return sum(len(track.frames) for track in self.tracks.values())
