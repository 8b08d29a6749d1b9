"""What happens to a picture that is passed on: for each edit, a picture in, the bytes of a file out."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Edit = Callable[[Image.Image, np.random.Generator], bytes]


def saved(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **(options or ({"quality": 85} if kind == "JPEG" else {})))
    return out.getvalue()


def resized(share: float) -> Edit:
    return lambda image, _: saved(
        image.resize((int(image.width * share), int(image.height * share)), Image.Resampling.LANCZOS)
    )


def squeezed(image: Image.Image, _: np.random.Generator) -> bytes:
    return saved(image.resize((image.width * 3 // 4, image.height), Image.Resampling.BICUBIC))


def recompressed(quality: int) -> Edit:
    return lambda image, _: saved(image, "JPEG", quality=quality)


def again_and_again(image: Image.Image, _: np.random.Generator) -> bytes:
    """Five times smaller and larger and at another quality, as a picture that goes from one service to the next."""
    for share, quality in ((0.9, 80), (0.8, 70), (1.2, 75), (0.85, 60), (1.1, 70)):
        image = image.resize((int(image.width * share), int(image.height * share)), Image.Resampling.BICUBIC)
        image = Image.open(io.BytesIO(saved(image, "JPEG", quality=quality)))
    return saved(image)


def turned(method: Image.Transpose) -> Edit:
    return lambda image, _: saved(image.transpose(method))


def tilted(degrees: float) -> Edit:
    return lambda image, _: saved(image.rotate(degrees, Image.Resampling.BICUBIC))


def cropped(share: float) -> Edit:
    """``share`` of each dimension gone, somewhere."""

    def edit(image: Image.Image, chance: np.random.Generator) -> bytes:
        wide, tall = int(image.width * share), int(image.height * share)
        left, top = int(chance.uniform(0, 1) * wide), int(chance.uniform(0, 1) * tall)
        return saved(image.crop((left, top, left + image.width - wide, top + image.height - tall)))

    return edit


def bordered(share: float) -> Edit:
    return lambda image, _: saved(ImageOps.expand(image, int(image.width * share), "black"))


def written_on(image: Image.Image, chance: np.random.Generator) -> bytes:
    """A line of text across, as of a joke or a date."""
    image = image.copy()
    font = ImageFont.load_default(image.height // 12)
    at = (image.width * 0.05, image.height * chance.uniform(0.05, 0.85))
    ImageDraw.Draw(image).text(at, "some words of a line of text", "white", font, stroke_width=3, stroke_fill="black")
    return saved(image)


def with_logo(image: Image.Image, _: np.random.Generator) -> bytes:
    """A disc with a square in it, a tenth of the picture wide, in a corner."""
    image = image.copy()
    size, draw = image.width // 10, ImageDraw.Draw(image)
    left, top = image.width - size * 5 // 4, image.height - size * 5 // 4
    draw.ellipse((left, top, left + size, top + size), "white")
    draw.rectangle((left + size // 4, top + size // 4, left + size * 3 // 4, top + size * 3 // 4), "red")
    return saved(image)


def blurred(radius: float) -> Edit:
    return lambda image, _: saved(image.filter(ImageFilter.GaussianBlur(radius)))


def enhanced(kind: Callable[[Image.Image], ImageEnhance._Enhance], factor: float) -> Edit:
    return lambda image, _: saved(kind(image).enhance(factor))


def gamma(exponent: float) -> Edit:
    table = [int(255 * (level / 255) ** exponent + 0.5) for level in range(256)] * 3
    return lambda image, _: saved(image.point(table))


def noisy(image: Image.Image, chance: np.random.Generator) -> bytes:
    pixels = np.asarray(image).astype(np.float32)
    return saved(Image.fromarray(np.clip(pixels + chance.normal(0, 20, pixels.shape), 0, 255).astype(np.uint8)))


def on_a_screen(image: Image.Image, _: np.random.Generator) -> bytes:
    """The picture fills a telephone's screen across, with a bar above and one below."""
    wide = 1080
    shown = image.resize((wide, wide * image.height // image.width), Image.Resampling.BICUBIC)
    screen = Image.new("RGB", (wide, shown.height + 2 * 90), (20, 20, 20))
    screen.paste(shown, (0, 90))
    draw = ImageDraw.Draw(screen)
    draw.text((30, 25), "12:00", "white", ImageFont.load_default(36))
    draw.rounded_rectangle((900, 30, 1050, 60), 12, "white")
    draw.ellipse((500, shown.height + 110, 550, shown.height + 160), "white")
    return saved(screen, "PNG")


EDITS: Final[dict[str, Edit]] = {
    "resize to 75 %": resized(0.75), "resize to 50 %": resized(0.5), "resize to 25 %": resized(0.25),
    "resize to 10 %": resized(0.1), "enlarge to 200 %": resized(2), "squeeze to 3/4 of the width": squeezed,
    "JPEG quality 50": recompressed(50), "JPEG quality 20": recompressed(20), "JPEG quality 5": recompressed(5),
    "passed on five times": again_and_again,
    "as PNG": lambda image, _: saved(image, "PNG"), "as WebP": lambda image, _: saved(image, "WEBP", quality=60),
    "as AVIF": lambda image, _: saved(image, "AVIF", quality=50, speed=9),
    "as GIF of 64 colours": lambda image, _: saved(image.quantize(64), "GIF"),
    "as JPEG 2000": lambda image, _: saved(image, "JPEG2000", quality_mode="rates", quality_layers=[30]),
    "as grey": lambda image, _: saved(image.convert("L")), "as CMYK": lambda image, _: saved(image.convert("CMYK")),
    "mirrored": turned(Image.Transpose.FLIP_LEFT_RIGHT), "turned by 90°": turned(Image.Transpose.ROTATE_90),
    "turned by 180°": turned(Image.Transpose.ROTATE_180), "tilted by 1°": tilted(1), "tilted by 3°": tilted(3),
    "crop 2 %": cropped(0.02), "crop 5 %": cropped(0.05), "crop 10 %": cropped(0.1), "crop 20 %": cropped(0.2),
    "border 1 %": bordered(0.01), "border 5 %": bordered(0.05), "text": written_on, "logo": with_logo,
    "blur of 2 pixels": blurred(2), "blur of 8 pixels": blurred(8), "noise": noisy,
    "brightness 70 %": enhanced(ImageEnhance.Brightness, 0.7), "brightness 140 %": enhanced(ImageEnhance.Brightness, 1.4),
    "contrast 150 %": enhanced(ImageEnhance.Contrast, 1.5), "saturation 200 %": enhanced(ImageEnhance.Color, 2),
    "gamma 0.6": gamma(0.6), "gamma 1.6": gamma(1.6), "screenshot": on_a_screen,
}  # fmt: skip
