"""Films made here: a camera that pans over generated clouds, with shapes that move; encoded with what PyAV's build has."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

Change = Callable[[np.ndarray], np.ndarray]
LOSSY = {
    "libx264": {"preset": "veryfast"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libx265": {"preset": "ultrafast"},
}


@lru_cache(maxsize=4)
def clouds(height: int, width: int, seed: int) -> np.ndarray:
    """An (h, w, 3) picture of noise of all scales, the larger the stronger, with a different mixture in each colour."""
    chance = np.random.default_rng(seed)
    scale = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    scale[0, 0] = 1
    layers = []
    for steep in (1.3, 1.3, 1.6):
        layer = np.fft.irfft2(np.fft.rfft2(chance.normal(size=(height, width))) / scale**steep, s=(height, width))
        layers.append((layer - layer.mean()) / layer.std())
    grey, red, blue = layers
    mixed = np.stack([grey + 0.5 * red, grey - 0.2 * red, grey + 0.5 * blue], axis=2)
    return np.clip(128 + 45 * mixed, 0, 255).astype(np.uint8)


def scenes(height: int, width: int, frames: int, rate: int = 30, seed: int = 1) -> Iterator[np.ndarray]:
    """So many (h, w, 3) pictures: every three seconds the camera is somewhere else, and goes on from there."""
    ground = clouds(2 * height, 2 * width, seed)
    chance = np.random.default_rng(seed)
    down = across = 0
    for number in range(frames):
        if number % (3 * rate) == 0:
            down, across = int(chance.integers(0, height)), int(chance.integers(0, width))
            pace = chance.integers(-2, 3, 2)
            colours = chance.integers(0, 256, (4, 3))
            places = chance.random((4, 2))
            flip = int(chance.integers(0, 2))
        step = number % (3 * rate)
        top = int(np.clip(down + pace[0] * step * height // 720, 0, height))
        left = int(np.clip(across + pace[1] * step * width // 1280, 0, width))
        picture = ground[top : top + height, left : left + width][:, :: -1 if flip else 1].copy()
        for colour, (y, x) in zip(colours, places, strict=True):
            row, column = int(y * height * 0.8), int((x + step / rate / 12) * width) % width
            picture[row : row + height // 6, column : column + width // 8] = colour
        yield picture


def film(
    where: Path | io.BytesIO,
    pictures: Iterator[np.ndarray] | list[np.ndarray],
    codec: str = "libx264",
    container: str = "mp4",
    rate: int | Fraction = 30,
    pixels: str = "yuv420p",
    bits: int = 2_000_000,
    options: dict[str, str] | None = None,
    times: list[int] | None = None,
) -> None:
    """A film of those pictures. ``times`` are those of the pictures in thousandths of a second, where they are not regular."""
    with av.open(str(where) if isinstance(where, Path) else where, "w", format=container) as out:
        stream = None
        for number, picture in enumerate(pictures):
            if stream is None:
                stream = out.add_stream(codec, rate=rate, options={**LOSSY.get(codec, {}), **(options or {})})
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt, stream.bit_rate = pixels, bits
                stream.codec_context.thread_count = 1
                if times:
                    stream.codec_context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
            frame.pts = number if times is None else times[number]
            if times:
                frame.time_base = Fraction(1, 1000)
            out.mux(stream.encode(frame))
        if stream is not None:
            out.mux(stream.encode(None))


def smaller(height: int, width: int) -> Change:
    return lambda picture: (
        av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        .reformat(width=width, height=height, interpolation="AREA")
        .to_ndarray()
    )


def cropped(share: float) -> Change:
    """A share of each dimension less, half at each side."""

    def change(picture: np.ndarray) -> np.ndarray:
        down, across = (round(length * share / 2 / 2) * 2 for length in picture.shape[:2])
        return picture[down : picture.shape[0] - down, across : picture.shape[1] - across]

    return change


def with_logo(picture: np.ndarray) -> np.ndarray:
    """A plate in the corner, a hundredth of the picture."""
    height, width = picture.shape[:2]
    marked = picture.copy()
    marked[height // 20 : height // 20 + height // 10, width - width // 8 : width - width // 40] = (240, 240, 250)
    marked[height // 14 : height // 14 + height // 30, width - width // 10 : width - width // 20] = (200, 20, 30)
    return marked
