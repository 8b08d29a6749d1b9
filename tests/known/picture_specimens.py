"""Pictures made on the spot, of every kind that is fingerprinted. Shapes and clouds; nothing and nobody is in them."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image

# The picture scene(12, 160, 128), as HEIC: its encoders are not at hand everywhere.
HEIC: Final = base64.b64decode(
    "AAAAGGZ0eXBoZWljAAAAAG1pZjFoZWljAAABKG1ldGEAAAAAAAAAIWhkbHIAAAAAAAAAAHBpY3QAAAAAAAAAAAAAAAAAAAAADnBpdG0AAAAAAAEA"
    "AAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAFIAAAEowAAAKxpcHJwAAAAj2lwY28AAABz"
    "aHZjQwEECAAAAJ+oAAAAAB7wAPz9+PgAAA8DoAABABdAAQwB//8ECAAAAwCfqAAAAwAAHroCQKEAAQAnQgEBBAgAAAMAn6gAAAMAAB6gFCAgWW6k"
    "kyubAgAAAwACAAADAAIQogABAAdEAcFysGJAAAAAFGlzcGUAAAAAAAAAoAAAAIAAAAAVaXBtYQAAAAAAAAABAAECgQIAAASrbWRhdAAABJ8oAa8l"
    "Cpcgl7So+hA+M5XilMY63HHF9zHYxV6SyU4NthQLGIgg7Qj4q1+01pZvoRBvKGULo3chOaawijlzc4MWWyBln86++bejxfnskv/uz/bpyccLvF+J"
    "dJqxELJRg+z/bZihk658LMLlpjUv3HsXOdLFRiAYvPu1tTyolcXyNbrd6uDP1x24YIWTIk1CvR3C0yCPtSgyWbadMBvnbgyL3qyganuEZYxGHo6Q"
    "A3enyZL7GQZEFAcqHpiHTbB17BDvtQ9CORdt00ankkpCTODAB6/98vGa8/iG4ubpip35NvyLu8h/VC+8x3eN0j5JtOUDgasS7/7NFKUT+gII5D1b"
    "/659Rcy0bNBL6Y2WMKSccIt4K7RpIQ46nsNeuIfsb2cQ/h7+BXve+7eujodQRl4tuKxpTSjGO8WreL40qpYX458SpmrsGOKCrb7ewEtOvFgfCNWK"
    "b706HzGLT3BILpK4bHqo3bjU5awdw50uQQ4iMJaUQv/ySrVDsZKGKBW/NVkGgPQ6Y6J5MRUq6nzKQJNClyIHmiRj3EGXOMBTR5XyKzdQhTIntV0M"
    "KLMACUisxp9haYvp1KZXU7OTEv8F5u+bOBiOmqZrRzSFy3SgYFG1j2JUN3/+ZYRIcq3W9fSHWhs8+spabghbHaQ3W/vzvHiA+BCxn6TlPiogZ0YC"
    "rZeWSdgsxqp0PhOAKH4xMFSre5Kh+BWeRokYtFOmk6nHFock/CcnyfqkFlWpYUzRqEb0Vs3g5Y/A9py7/i9eiRIWOUY2hBmycl7TkwWS6YVeou/g"
    "7mslirw8LhxL9+JS7HZoXgr2uVR17nOVZgEWOR4/41OlrgDRLmZfYZBqJZiW4whc1v0MKgz+Ubos/t/4NBhRCIjigKG+zXsY7YN7jbDBeuFyrs/O"
    "gAfc00beuuyBkWeFqifXe+xXdCA3xV6CjNU5igpHtBfM/2zgtYaU/7wGQUwEYMOYYn1DIS/XV+XRBb/yT4JNppZRnEU2qCej33hg/tT55MG/A6Df"
    "CD6Hfn9J9IZr3cma7rl2cyiucMW3Ftr9pJ6Y2nFtJMKf1IWXqk7nsvcUM6mB/JIG++DS0mnV/yuYNaoXY+DpXWHXokMHguql30+dO9ibY5R9kZ5H"
    "EhELiBCc6t1OY+cEm29EbpxqImSWyjbAGvMZkqcGptPukF51Ezex7RueZSm68Der6seQxS2iBk53hdOlr9do8aVO3mm+uvpc+kV5o9KfWBm4l2Fq"
    "T1jm0BXzuK7ovIjuvc4IBllqoZqJb8uA+Ve4MLip9iSlIG45uUXO/T88lkIynOoBkpg8xYtuD6+55tF9Hh57bil02tXRpAOqM3Vm3Nqsh1ZI+/rT"
    "5qbdMq/1vsXL1CoaEDDLXSbvB35aPoapb64AKfYk0zV3vOslOHSVFe+YrWw9xjoz/713IjdWyVnb5Etn8SIYZI9Qp0XaAmacSH17q7mopo0kbTxH"
    "7YiVv9IKotL9KBulsNmri/A2GNjchCQKbSJ1MWuEehFC2GZ2BU5JvwrQ7WuiE5tiahZJaRdvEkU/COtyb1orkNeK6eiXtvBSlm5BkFtL/2oo+hSF"
    "NIwE"
)


def scene(seed: int, width: int, height: int) -> Image.Image:
    """Clouds with a few discs and bars over them, in colour."""
    chance = np.random.default_rng(seed)
    down, across = np.mgrid[0:height, 0:width] / max(width, height)
    pixels = np.zeros((height, width, 3), np.float32)
    for octave in range(6):
        grid = chance.uniform(-1, 1, (3 << octave, 3 << octave, 3)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(grid[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
            pixels[..., channel] += np.asarray(layer) * 60 * 0.6**octave
    pixels += 128
    for _ in range(8):
        x, y, size = chance.uniform(0, 1), chance.uniform(0, height / width), chance.uniform(0.03, 0.2)
        inside = (across - x) ** 2 + (down - y) ** 2 < size**2 if chance.random() < 0.5 else abs(across - x) < size / 4
        pixels[inside] = chance.uniform(0, 255, 3)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def animation(frames: list[Image.Image], kind: str) -> bytes:
    return saved(
        frames[0], kind, save_all=True, append_images=frames[1:], **({"duration": 100} if kind != "TIFF" else {})
    )


def camera_file(preview: bytes, *, order: str = "<", beginning: bytes = b"") -> bytes:
    """A file built as cameras build theirs (TIFF 6.0): a small first page, raw data, and a JPEG somewhere behind it."""
    entries = [
        (0x100, 4, 1, 16), (0x101, 4, 1, 12), (0x102, 3, 1, 8), (0x103, 3, 1, 1), (0x106, 3, 1, 1), (0x111, 4, 1, 400),
        (0x115, 3, 1, 1), (0x116, 4, 1, 12), (0x117, 4, 1, 192), (0x201, 4, 1, 1600), (0x202, 4, 1, len(preview)),
    ]  # fmt: skip
    table = struct.pack(order + "H", len(entries))
    for tag, kind, count, value in entries:
        table += struct.pack(order + "HHI", tag, kind, count)
        table += struct.pack(order + ("HH" if kind == 3 else "I"), *((value, 0) if kind == 3 else (value,)))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 16)
    head = (beginning or head).ljust(16, b"\0")
    body = (head + table + bytes(4)).ljust(400, b"\0")
    raw = np.random.default_rng(1).integers(0, 256, 1200, np.uint8).tobytes()
    return body + raw + preview + raw


def each(width: int = 160, height: int = 120) -> dict[str, Callable[[], bytes]]:
    """A small file of each kind, by name."""
    image = scene(3, width, height)
    other = scene(4, width, height)
    return {
        "jpeg": lambda: saved(image, "JPEG", quality=80),
        "jpeg progressive": lambda: saved(image, "JPEG", quality=80, progressive=True),
        "jpeg cmyk": lambda: saved(image.convert("CMYK"), "JPEG"),
        "png": lambda: saved(image, "PNG"),
        "png palette": lambda: saved(image.quantize(32), "PNG"),
        "apng": lambda: animation([image, other], "PNG"),
        "gif": lambda: animation([image, other], "GIF"),
        "webp": lambda: saved(image, "WEBP"),
        "webp lossless": lambda: saved(image, "WEBP", lossless=True),
        "webp animated": lambda: animation([image, other], "WEBP"),
        "avif": lambda: saved(image, "AVIF", speed=9),
        "heic": lambda: HEIC,
        "tiff": lambda: animation([image, other], "TIFF"),
        "tiff lzw": lambda: saved(image, "TIFF", compression="tiff_lzw"),
        "tiff jpeg": lambda: saved(image, "TIFF", compression="jpeg"),
        "bmp": lambda: saved(image, "BMP"),
        "jpeg2000": lambda: saved(image, "JPEG2000"),
        "camera file": lambda: camera_file(saved(image, "JPEG")),
    }
