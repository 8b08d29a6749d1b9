"""A film opened so that nothing but its own bytes is ever read, and these only so long and so many at once.

A film comes from a stranger, and some formats name other files or addresses: playlists, concatenations, references in
QuickTime. Formats and codecs are those named here; libavformat is given a file object and no protocol, and where it asks
for anything else to be opened, that fails.
"""

from __future__ import annotations

import math
import time
from typing import Any, BinaryIO, Final, NamedTuple, NoReturn

import av
import av.error
from av.container import InputContainer

FORMATS: Final = (
    "asf", "avi", "dhav", "dv", "flv", "gif", "h264", "hevc", "ivf", "live_flv", "m4v", "matroska", "mjpeg", "mov", "mpeg",
    "mpegts", "mpegvideo", "mxf", "obu", "ogg", "rm", "wtv",
)  # fmt: skip
# Those of cameras, telephones, sites, and thirty years of computers; none that only games and studios have.
CODECS: Final = frozenset((
    "amv", "av1", "cfhd", "cinepak", "dnxhd", "dvvideo", "ffv1", "ffvhuff", "flashsv", "flashsv2", "flv", "gif", "h261", "h263",
    "h263i", "h263p", "h264", "hevc", "huffyuv", "indeo2", "indeo3", "indeo4", "indeo5", "jpeg2000", "libdav1d", "mjpeg",
    "mjpegb", "mpeg1video", "mpeg2video", "mpeg4", "mpegvideo", "msmpeg4", "msmpeg4v1", "msmpeg4v2", "msrle", "msvideo1", "png",
    "prores", "qtrle", "rawvideo", "rpza", "rv10", "rv20", "rv30", "rv40", "smc", "svq1", "svq3", "theora", "utvideo", "vc1",
    "vp3", "vp6", "vp6a", "vp6f", "vp7", "vp8", "vp9", "vvc", "webp", "wmv1", "wmv2", "wmv3", "zmbv",
))  # fmt: skip
BROKEN: Final = (av.error.FFmpegError, ValueError, OSError)  # what PyAV raises for what a film holds


class Limits(NamedTuple):
    """Where reading stops: after ``seconds`` by the clock, after ``frames`` that were taken, at pictures of more than
    ``pixels``, or where more than ``part`` bytes are read for one packet (or for the film's index)."""

    seconds: float = 600.0
    frames: int = 200_000
    pixels: int = 36_000_000
    part: int = 256 << 20


class Reader:
    """The file object as libavformat may use it: a film that is past a limit seems to end there.

    ``stopped`` then says why; ``failed``, why some of it could not be read.
    """

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._file, self._limits = file, limits
        self._end = time.monotonic() + limits.seconds
        self.since = 0  # bytes read since the last packet; whoever takes one sets it back
        self.stopped: str | None = None
        self.failed: str | None = None
        file.seek(0)

    def late(self) -> bool:
        """Whether reading has stopped, or must now because it took too long."""
        if self.stopped is None and time.monotonic() > self._end:
            self.stopped = f"Reading it was given up after {math.ceil(self._limits.seconds):,} seconds."
        return self.stopped is not None

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes: PyAV copies what it is given into a buffer of that size."""
        if self.since > self._limits.part:
            self.stopped = self.stopped or (
                f"A part of it is larger than the {self._limits.part:,} bytes that are read at once."
            )
        if self.late():
            return b""
        try:
            content = bytes(self._file.read(size)[:size])
        except OSError as error:
            self.failed = f"Not all of it can be read: {error.strerror}."
            return b""  # here; what lies elsewhere may still be
        self.since += len(content)
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        """Where it is now; -1 where that cannot be, for a film may name any place."""
        if self.late():
            return -1
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1

    def tell(self) -> int:
        """Where it is."""
        return self._file.tell()


def opened(reader: Reader, limits: Limits) -> InputContainer | None:
    """The film, with its tracks known; None where it is none that is read here."""
    options = {
        "format_whitelist": ",".join(FORMATS),
        "protocol_whitelist": "none",
        "codec_whitelist": ",".join(sorted(CODECS)),
        "enable_drefs": "0",
        "max_pixels": str(limits.pixels),
        "max_streams": "64",
    }
    try:
        return av.open(
            reader, "r", options=options, metadata_errors="replace", buffer_size=1 << 16, io_open=_nothing_else
        )
    except BROKEN:
        return None


def _nothing_else(url: str, flags: int, options: dict[str, Any]) -> NoReturn:
    raise PermissionError
