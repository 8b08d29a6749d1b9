"""One track of a film: which of its frames are wanted, and no more of it decoded than they need.

A frame that another is made from must be decoded, wanted or not. H.264 says of each whether it is one (half are not, in films as
they are usually made), and the decoder can pass over those that are not. So packets wait until it is known which
number theirs is, as frames are shown; the frames that come out are the same, in half the time. Key frames can be taken alone
only for a first filter. Of codecs whose frames all stand by themselves, such as Motion JPEG, only those wanted are decoded.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator
from typing import Final

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from amparo.known.film_features import Frame
from amparo.known.film_luma import fingerprint_of
from amparo.known.film_opening import BROKEN, Limits

FASTEST: Final = 120.0  # frames a second; what claims more is sampled as if it had these
_RATE: Final = 25.0  # where the film says none
# Formats that say of each packet when it is shown. Of others libavformat makes it up, as if packets came in that order.
_TIMED: Final = frozenset(("flv", "matroska", "mov", "mpegts"))
_AHEAD: Final = 32  # packets; no frame of H.264 is shown more than 16 later than it is decoded


class Track:
    """What is taken of a track is in ``frames``; ``broken`` counts what could not be decoded."""

    def __init__(self, stream: VideoStream, every: float, keyframes_only: bool, limits: Limits, threads: int) -> None:
        self.stream, self.every, self.keyframes_only, self.limits = stream, every, keyframes_only, limits
        self.context = stream.codec_context
        self.context.thread_count = threads
        self.context.options = {"max_pixels": str(limits.pixels)}
        self.rate = _rate(stream)
        self.step = max(1, int(every * self.rate))
        self.base = float(stream.time_base or 0)
        self.start = stream.start_time
        self.frames: list[Frame] = []
        self.broken = 0
        self.count = 0  # frames that were shown
        self.last = -math.inf  # when the last that was taken is
        self.end = 0.0  # when the last is
        codec = self.context.codec
        self.apart = codec.intra_only and not codec.delay
        timed = not _TIMED.isdisjoint(stream.container.format.name.split(","))
        self.waits = codec.name == "h264" and timed and self.step > 1 and not keyframes_only
        self.waiting: deque[Packet[VideoStream]] = deque()
        self.shown: list[
            int
        ] = []  # when those of them are shown of which it is not known yet whether they are wanted: a heap
        self.known = -math.inf  # when the last is of which it is known
        self.places: dict[int, tuple[int, float] | None] = {}  # what is known of frames that may still come

    def decoded(self, packet: Packet[VideoStream] | None) -> Iterator[None]:
        """Takes what is wanted of a packet, and yields after each frame that was decoded; None is the end."""
        if packet is not None and not packet.size and packet.dts is None:
            packet = None
        if packet is None:
            yield from self._let_go(0)
            yield from self._take(None)
        elif self.keyframes_only and not packet.is_keyframe:
            return
        elif self.apart:
            if packet.size and (place := self.wanted(packet.pts)) is not None:
                yield from self._take(packet, place)
        elif self.waits and self._has_order(packet):
            self.waiting.append(packet)
            too_much = sum(one.size for one in self.waiting) > self.limits.part
            yield from self._let_go(0 if too_much else _AHEAD)
        else:
            self.waits = False
            yield from self._let_go(0)
            yield from self._take(packet)

    def wanted(self, pts: int | None) -> tuple[int, float] | None:
        """Number and time of the next frame as they are shown, where it is wanted."""
        number = self.count
        self.count += 1
        if pts is None:
            moment = number / self.rate
        else:
            self.start = pts if self.start is None else self.start
            moment = max(0.0, (pts - self.start) * self.base)
        self.end = max(self.end, moment)
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

    def _has_order(self, packet: Packet[VideoStream]) -> bool:
        """Whether it says when it is shown, as packets with B-frames in their right order do; that is then noted."""
        begun = self.waiting or self.count
        if (
            packet.pts is None
            or packet.pts <= self.known
            or packet.pts in self.shown
            or not (begun or packet.is_keyframe)
        ):
            return False
        if not packet.is_discard:
            heapq.heappush(self.shown, packet.pts)
        return True

    def _let_go(self, most: int) -> Iterator[None]:
        """Decode packets that wait, until ``most`` are left."""
        while len(self.waiting) > most:
            packet = self.waiting.popleft()
            assert packet.pts is not None
            while self.shown and self.shown[0] <= packet.pts:
                self.known = heapq.heappop(self.shown)
                self.places[self.known] = self.wanted(self.known)
            unwanted = self.places.get(packet.pts, ()) is None
            self.context.skip_frame = "NONREF" if unwanted else "DEFAULT"
            yield from self._take(packet)
            while len(self.places) > 4 * _AHEAD:  # those that were passed over
                del self.places[next(iter(self.places))]
        if not self.waits:
            self.context.skip_frame = "DEFAULT"

    def _take(self, packet: Packet[VideoStream] | None, place: tuple[int, float] | None = None) -> Iterator[None]:
        for frame in self._frames(packet):
            if place is not None:
                taken: tuple[int, float] | None = place
            elif frame.pts is not None and frame.pts in self.places:
                taken = self.places.pop(frame.pts)
            else:
                taken = self.wanted(frame.pts)
            if taken is not None:
                try:
                    self.frames.append(Frame(*taken, *fingerprint_of(frame)))
                except BROKEN:
                    self.broken += 1
            yield

    def _frames(self, packet: Packet[VideoStream] | None) -> Iterator[VideoFrame]:
        try:
            yield from self.context.decode(packet)
        except BROKEN:
            self.broken += 1


def _rate(stream: VideoStream) -> float:
    """Frames a second: the average, or where that is absurd (as of raw DV) what the times fit, or what the codec says."""
    claimed = [float(rate) for rate in (stream.average_rate, stream.base_rate, stream.guessed_rate) if rate]
    sound = [rate for rate in claimed if 0 < rate <= FASTEST]
    return sound[0] if sound else FASTEST if max(claimed, default=0) > 0 else _RATE
