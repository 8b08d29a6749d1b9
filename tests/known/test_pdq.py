"""The fingerprint of a picture: the kernel, its twin in NumPy, and what both promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amparo.known import pdq
from amparo.known.pdq import FORMS, LONGEST, dihedral, distance, of_frame, of_luma

native = pytest.importorskip("amparo.known._native", reason="the kernels are not built here")


def textured(height: int, width: int, seed: int) -> np.ndarray:
    """Clouds: noise of all scales, the larger the stronger, as photographs have it."""
    chance = np.random.default_rng(seed)
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    scale = np.hypot(down, across)
    scale[0, 0] = 1
    clouds = np.fft.irfft2(np.fft.rfft2(chance.normal(size=(height, width))) / scale**1.2, s=(height, width))
    clouds -= clouds.mean()
    return np.clip(128 + 50 * clouds / (clouds.std() or 1), 0, 255).astype(np.uint8)


def published(luma: np.ndarray) -> bytes:
    """The fingerprint step by step as the description has it, in floating point and with no thought of speed."""

    def blurred(lines: np.ndarray) -> np.ndarray:
        length = lines.shape[1]
        window = (length + 127) // 128
        left, right = window - 1 - window // 2, window // 2
        return np.stack([lines[:, max(0, i - left) : i + right + 1].mean(axis=1) for i in range(length)], axis=1)

    values = luma.astype(np.float64)
    for _ in range(2):
        values = blurred(blurred(values).T).T
    height, width = luma.shape
    places = [[int((k + 0.5) * length / 64) for k in range(64)] for length in (height, width)]
    samples = values[np.ix_(*places)]
    cosines = np.sqrt(2 / 64) * np.cos(np.pi / 128 * np.outer(np.arange(1, 17), 2 * np.arange(64) + 1))
    kept = (cosines @ samples @ cosines.T).ravel()
    above = kept > np.sort(kept)[127]
    return sum(1 << place for place in np.flatnonzero(above).tolist()).to_bytes(32)


@pytest.mark.parametrize("shape", [(5, 5), (64, 64), (97, 131), (128, 400), (301, 129), (511, 640)])
def test_it_is_the_published_fingerprint(shape: tuple[int, int]):
    for seed in range(3):
        luma = textured(*shape, seed)
        assert distance(of_luma(luma).bits, published(luma)) <= 2, "only coefficients on the median may differ"


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 700), st.integers(1, 700), st.sampled_from([1, 2, 4, 8]), st.sampled_from(["noise", "clouds", "flat", "steps"]),
    st.integers(0, 1 << 30),
)  # fmt: skip
def test_the_kernel_and_its_twin_give_the_same_bits_on_every_path(height, width, factor, kind, seed):
    shape = -(-height // factor), -(-width // factor)
    chance = np.random.default_rng(seed)
    luma = {
        "noise": lambda: chance.integers(0, 256, shape, np.uint8),
        "clouds": lambda: textured(*shape, seed),
        # neighbours that lie exactly a fifth of the range apart, where the quality counts whole hundredths
        "steps": lambda: (chance.random(shape) < 0.02).astype(np.uint8) * np.uint8(51),
        "flat": lambda: np.full(shape, seed % 256, np.uint8),
    }[kind]()
    expected = pdq.twin(luma, height, width, factor, 8)
    for path in range(len(native.pdq_paths())):
        assert native.pdq(luma, shape[1], *shape, height, width, factor, 8, path) == expected, native.pdq_paths()[path]


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (4, 4000), (5, 20_000), (20_000, 5), (6, LONGEST), (LONGEST, 7)])
def test_the_smallest_and_the_longest_pictures_are_alike_too(shape: tuple[int, int]):
    luma = np.random.default_rng(5).integers(0, 256, shape, np.uint8)
    expected = pdq.twin(luma, *shape, 1, 8)
    for path in range(len(native.pdq_paths())):
        assert native.pdq(luma, shape[1], *shape, *shape, 1, 8, path) == expected
    if min(shape) < pdq.SMALLEST:
        assert expected == (bytes(256), 0)


@pytest.mark.parametrize("extreme", [0, 255])
def test_black_against_white_does_not_overflow(extreme: int):
    luma = np.full((130, 130), 255 - extreme, np.uint8)
    luma[::2, :65] = extreme
    luma[65:, 65:] = extreme
    expected = pdq.twin(luma, 130, 130, 1, 8)
    for path in range(len(native.pdq_paths())):
        assert native.pdq(luma, 130, 130, 130, 130, 130, 1, 8, path) == expected


def test_a_flat_picture_has_no_bits_and_no_quality():
    for value in (0, 77, 255):
        assert of_luma(np.full((200, 300), value, np.uint8)) == (bytes(32), 0)


@pytest.mark.parametrize("turn", range(8), ids=FORMS)
def test_the_eight_forms_of_a_picture_are_the_fingerprints_of_the_picture_turned(turn: int):
    # 320 = 64 x 5: the samples lie the same from both ends, so only what rounds may differ
    luma = textured(320, 320, 8)
    turned = [
        luma, np.rot90(luma), np.rot90(luma, 2), np.rot90(luma, 3),
        np.flipud(luma), np.fliplr(luma), luma.T, np.rot90(luma, 2).T,
    ][turn]  # fmt: skip
    assert distance(of_luma(np.ascontiguousarray(turned)).bits, dihedral(luma)[turn]) <= 2


def test_the_form_of_a_form_is_a_form_again():
    forms = dihedral(textured(320, 320, 3))
    mirrored = dihedral(np.ascontiguousarray(np.fliplr(textured(320, 320, 3))))
    for form in mirrored:
        assert min(distance(form, other) for other in forms) <= 2


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("full", [(2048, 3072), (2051, 3077), (2065, 2700)])
def test_means_of_blocks_stand_for_the_picture(full: tuple[int, int], factor: int):
    luma = textured(*full, 2)
    height, width = (-(-length // factor) * factor for length in full)
    padded = np.pad(luma, ((0, height - full[0]), (0, width - full[1])), mode="edge")
    means = padded.reshape(height // factor, factor, width // factor, factor).mean(axis=(1, 3)).round().astype(np.uint8)
    folded, plain, expected = of_luma(means, full), of_luma(means), of_luma(luma)
    assert distance(folded.bits, expected.bits) <= 4
    assert distance(folded.bits, expected.bits) <= distance(plain.bits, expected.bits)
    assert abs(folded.quality - expected.quality) <= 1


def test_a_frame_is_read_where_it_lies():
    luma = textured(90, 160, 1)
    plane = np.full((90, 192), 99, np.uint8)
    plane[:, :160] = luma
    expected = of_luma(luma)
    assert of_frame(plane.tobytes(), 192, 90, 160) == expected
    assert of_frame(memoryview(plane).cast("B")[: 89 * 192 + 160], 192, 90, 160) == expected
    assert of_luma(plane[:, :160]) == expected
    assert of_luma(np.asfortranarray(luma)) == expected


def test_the_twin_serves_where_the_kernels_are_not_built(monkeypatch: pytest.MonkeyPatch):
    plane = textured(90, 160, 1)
    expected = of_luma(plane), dihedral(plane), of_frame(plane.tobytes(), 160, 90, 150)
    monkeypatch.setattr(pdq, "_pdq", None)
    assert (of_luma(plane), dihedral(plane), of_frame(plane.tobytes(), 160, 90, 150)) == expected
    with pytest.raises(ValueError, match="does not hold"):
        of_frame(bytes(100), 10, 11, 10)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 4), (1 << 31, 4), (LONGEST + 1, 1)])
def test_sizes_that_cannot_be_are_refused(size: tuple[int, int]):
    with pytest.raises((ValueError, OverflowError)):
        native.pdq(bytes(1 << 20), max(1, size[1]), *size, *size, 1, 1)


def test_a_buffer_that_is_too_short_is_refused():
    for length, stride, height, width in ((99, 10, 10, 10), (100, 9, 10, 10), (0, 10, 10, 10), (50, 1 << 62, 10, 10)):
        with pytest.raises(ValueError):
            native.pdq(bytes(length), stride, height, width, height, width, 1, 1)
    with pytest.raises(ValueError):
        of_luma(np.zeros((10, 10), np.uint8), (100, 100))
    with pytest.raises(ValueError):
        of_luma(np.zeros((10, 10, 3), np.uint8))
