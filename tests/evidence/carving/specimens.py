"""Files of every kind that is carved, of shapes and noise: by Pillow and zipfile where they can, else box by box."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Iterable

from PIL import Image, ImageDraw

from amparo.errors import ReadFailed
from amparo.evidence.source.device import SECTOR


class Memory:
    """A device over bytes that counts what is read; sectors in ``bad`` fail, as those of a worn disk do."""

    def __init__(self, content: bytes, bad: Iterable[int] = ()) -> None:
        self.content, self.size, self.bad = content, len(content), sorted(bad)
        self.bytes_read = self.largest = 0

    def read(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        for sector in self.bad:
            if offset < (sector + 1) * SECTOR and sector * SECTOR < offset + length:
                raise ReadFailed(f"Sector {sector} cannot be read; copy the disk again.")
        self.bytes_read += length
        self.largest = max(self.largest, length)
        return self.content[offset : offset + length]

    def close(self) -> None:
        """Nothing is open."""


def picture(seed: int, side: int = 120) -> Image.Image:
    """Ellipses on noise."""
    chance = random.Random(seed)
    image = Image.frombytes("RGB", (side, side), chance.randbytes(3 * side * side))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, r = chance.randrange(side), chance.randrange(side), chance.randrange(side // 4)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(x % 256, y % 256, r % 256))
    return image


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def jpeg_with_thumbnail(seed: int) -> bytes:
    """A photograph as cameras write it: a whole JPEG lies inside its EXIF segment."""
    thumbnail = saved(picture(seed + 1, 40), "JPEG")
    # IFD0 empty, then IFD1: where the thumbnail lies in the TIFF structure, and its length.
    tiff = b"II*\0" + struct.pack("<IHI", 8, 0, 14)
    tiff += struct.pack("<HHHIIHHIII", 2, 0x201, 4, 1, 44, 0x202, 4, 1, len(thumbnail), 0)
    return saved(picture(seed), "JPEG", exif=b"Exif\0\0" + tiff + thumbnail)


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def avi(seed: int, continued: bool = False) -> bytes:
    chance = random.Random(seed)
    header = chunk(b"avih", struct.pack("<14I", 40000, 0, 0, 16, 3, 0, 1, 0, 32, 32, 0, 0, 0, 0))
    stream = chunk(b"LIST", b"strl" + chunk(b"strh", b"vidsMJPG" + bytes(48)) + chunk(b"strf", bytes(40)))
    frames = b"".join(chunk(b"00dc", chance.randbytes(chance.randrange(1, 4000))) for _ in range(5))
    record = chunk(b"LIST", b"rec " + chunk(b"01wb", chance.randbytes(333)))
    body = chunk(b"LIST", b"hdrl" + header + stream) + chunk(b"JUNK", bytes(100))
    body += chunk(b"LIST", b"movi" + frames + record) + chunk(
        b"idx1", b"".join(struct.pack("<4sIII", b"00dc", 16, 4, 9) for _ in range(5))
    )
    film = chunk(b"RIFF", b"AVI " + body)
    return film + (chunk(b"RIFF", b"AVIX" + chunk(b"LIST", b"movi" + frames)) if continued else b"")


def box(name: bytes, *bodies: bytes, wide: bool = False) -> bytes:
    body = b"".join(bodies)
    if wide:
        return struct.pack(">I4sQ", 1, name, len(body) + 16) + body
    return struct.pack(">I4s", len(body) + 8, name) + body


def units(chance: random.Random, count: int) -> bytes:
    """A coded picture as H.264 and H.265 lay it out: units, each behind its length."""
    bodies = [b"\x41" + chance.randbytes(chance.randrange(1, 900)) for _ in range(count)]
    return b"".join(struct.pack(">I", len(body)) + body for body in bodies)


def movie_box(places: list[int], sizes: list[int], *more: bytes, form: bytes = b"avc1") -> bytes:
    """One video track of two pictures a chunk, but one in the last where the count is odd."""
    each = [min(2, len(sizes) - 2 * chunk) for chunk in range(len(places))]
    runs = [(chunk, many) for chunk, many in enumerate(each) if not chunk or each[chunk - 1] != many]
    entry = box(form, bytes(78), box(b"avcC", b"\1\x64\0\x1f\xff\xe0\0"))
    table = box(
        b"stbl",
        box(b"stsd", struct.pack(">II", 0, 1), entry),
        box(b"stsc", struct.pack(">II", 0, len(runs)), *(struct.pack(">III", at + 1, many, 1) for at, many in runs)),
        box(b"stsz", struct.pack(">III", 0, 0, len(sizes)), *(struct.pack(">I", size) for size in sizes)),
        box(b"stco", struct.pack(">II", 0, len(places)), *(struct.pack(">I", place) for place in places)),
    )
    handler = box(b"hdlr", bytes(8) + b"vide" + bytes(13))
    media = box(b"mdia", box(b"mdhd", bytes(24)), handler, box(b"minf", box(b"vmhd", bytes(12)), table))
    return box(b"moov", box(b"mvhd", bytes(100)), box(b"trak", box(b"tkhd", bytes(84)), media), *more)


def mp4(seed: int, brand: bytes = b"isom", moov_last: bool = False, wide: bool = False) -> bytes:
    chance = random.Random(seed)
    kind = box(b"ftyp", brand + struct.pack(">I", 512) + brand + b"mp42")
    pictures = [units(chance, chance.randrange(1, 5)) for _ in range(11)]
    sizes = [len(one) for one in pictures]
    data = box(b"mdat", *pictures, wide=wide)
    before = [sum(sizes[:number]) for number in range(0, 11, 2)]
    begin = len(kind) + (16 if wide else 8)
    if moov_last:
        return kind + box(b"free") + data + movie_box([begin + 8 + place for place in before], sizes)
    begin += len(movie_box(before, sizes))
    return kind + movie_box([begin + place for place in before], sizes) + data


def fragmented_mp4(seed: int) -> bytes:
    chance = random.Random(seed)
    out = box(b"ftyp", b"iso5\0\0\0\0iso5dash") + movie_box([], [], box(b"mvex", box(b"trex", bytes(24))))
    for number in range(4):
        out += box(b"moof", box(b"mfhd", struct.pack(">II", 0, number)))
        out += box(b"mdat", chance.randbytes(chance.randrange(1, 9000)))
    return out + box(b"mfra", box(b"mfro", bytes(8)))


def heic(seed: int, brand: bytes = b"heic", inside: bool = False) -> bytes:
    """A picture of three tiles, in ``mdat`` or in the ``meta`` box itself."""
    chance = random.Random(seed)
    av1 = brand == b"avif"
    # An open unit of AV1: a header byte with its length bit set, and the length in seven-bit groups.
    tiles = [b"\x32\xc8\x01" + chance.randbytes(200) if av1 else units(chance, 3) for _ in range(3)]
    entries = [
        box(b"infe", struct.pack(">IHH", 2 << 24, n, 0) + (b"av01" if av1 else b"hvc1") + b"\0") for n in (1, 2, 3)
    ]
    kind = box(b"ftyp", brand + bytes(4) + b"mif1" + brand)

    def meta(begin: int) -> bytes:
        places = b""
        for n, tile in enumerate(tiles):
            at = begin + sum(map(len, tiles[:n]))
            places += struct.pack(">HHHHII", n + 1, 1 if inside else 0, 0, 1, at, len(tile))
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", bytes(8) + b"pict" + bytes(13)),
            box(b"pitm", bytes(6)),
            box(b"iinf", struct.pack(">IH", 0, 3), *entries),
            box(b"iloc", struct.pack(">IBBH", 1 << 24, 0x44, 0, 3), places),
            box(b"idat", *tiles) if inside else b"",
        )

    if inside:
        return kind + meta(0)
    return kind + meta(len(kind) + len(meta(0)) + 8) + box(b"mdat", *tiles)


def element(identity: int, body: bytes, unknown: bool = False) -> bytes:
    name = identity.to_bytes((identity.bit_length() + 7) // 8, "big")
    if unknown:
        return name + b"\x01" + b"\xff" * 7 + body
    return name + (len(body) | 1 << 56).to_bytes(8, "big") + body


def matroska(seed: int, kind: bytes = b"matroska", live: bool = False) -> bytes:
    chance = random.Random(seed)
    header = element(0x1A45DFA3, element(0x4286, b"\1") + element(0x4282, kind))
    track = element(0xAE, element(0xD7, b"\1") + element(0x83, b"\1") + element(0x86, b"V_VP8"))
    body = (
        element(0x1549A966, element(0x2AD7B1, b"\x0f\x42\x40")) + element(0x1654AE6B, track) + element(0xEC, bytes(50))
    )
    for stamp in range(3):
        blocks = b"".join(
            element(0xA3, b"\x81\0\0\x80" + chance.randbytes(chance.randrange(1, 3000))) for _ in range(3)
        )
        body += element(0x1F43B675, element(0xE7, bytes([stamp])) + blocks, unknown=live)
    if not live:
        body += element(0x1254C367, bytes(5))
    return header + element(0x18538067, body, unknown=live)


def pdf(seed: int, revisions: int = 0, end: bytes = b"\n") -> bytes:
    out = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
    # An attachment may hold the very marks that end a document.
    stream = random.Random(seed).randbytes(5000) + b"\nstartxref\n12\n%%EOF\n" + random.Random(seed + 1).randbytes(500)
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>"]
    objects.append(b"<</Length %d>>stream\n" % len(stream) + stream + b"\nendstream")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = len(out)
    out += b"xref\n0 4\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer<</Size 4/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % table
    for _ in range(revisions):
        out += b"\n"
        place = len(out)
        out += b"2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\n"
        table = len(out)
        out += b"xref\n2 1\n%010d 00000 n \ntrailer<</Size 4/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (place, table)
    return out + end


def linearised_pdf(seed: int) -> bytes:
    """The first of the two tables, and an end mark of its own, stand near the start."""
    noise = random.Random(seed).randbytes(3000)
    out = bytes(3333)
    for _ in range(2):
        dictionary = b"1 0 obj\n<</Linearized 1/L %d/N 1>>\nendobj\n" % len(out)
        first = b"%PDF-1.4\n" + dictionary
        out = first + b"xref\n0 1\n0000000000 65535 f \ntrailer<</Size 1>>\nstartxref\n0\n%%EOF\n"
        out += b"2 0 obj\n<</Length 3000>>stream\n" + noise + b"\nendstream\nendobj\n"
        out += b"xref\n0 1\n0000000000 65535 f \ntrailer<</Size 3>>\nstartxref\n%d\n%%%%EOF\n" % len(first)
    return out


class _Pipe(io.RawIOBase):
    """Where zipfile cannot go back, it writes lengths behind what they measure."""

    def __init__(self) -> None:
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.content += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


def archive(
    seed: int,
    names: Iterable[str] = ("a.txt", "b/ç.bin"),
    streamed: bool = False,
    wide: bool = False,
    comment: bytes = b"",
) -> bytes:
    chance = random.Random(seed)
    out: io.BytesIO | _Pipe = _Pipe() if streamed else io.BytesIO()
    with zipfile.ZipFile(out, "w") as whole:  # type: ignore[call-overload]
        for name in names:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            content = b"application/vnd.oasis.opendocument.text"
            with whole.open(info, "w", force_zip64=wide) as member:
                member.write(content if name == "mimetype" else chance.randbytes(3000) + b"plain text " * 200)
        whole.comment = comment
    return out.content if isinstance(out, _Pipe) else out.getvalue()


def specimens(seed: int) -> dict[str, tuple[str, bytes]]:
    """Name to (kind expected, content)."""
    image, second = picture(seed), picture(seed + 1)
    film = {"save_all": True, "append_images": [second], "duration": 40, "loop": 0}
    return {
        "JPEG": ("jpeg", saved(image, "JPEG")),
        "JPEG, progressive": ("jpeg", saved(image, "JPEG", progressive=True)),
        "JPEG, restarts": ("jpeg", saved(image, "JPEG", restart_marker_blocks=3)),
        "JPEG, grey": ("jpeg", saved(image.convert("L"), "JPEG", optimize=True)),
        "JPEG, CMYK": ("jpeg", saved(image.convert("CMYK"), "JPEG")),
        "JPEG, thumbnail": ("jpeg", jpeg_with_thumbnail(seed)),
        "PNG": ("png", saved(image, "PNG")),
        "PNG, palette": ("png", saved(image.convert("P"), "PNG")),
        "PNG, animated": ("png", saved(image, "PNG", **film)),
        "GIF": ("gif", saved(image, "GIF")),
        "GIF, animated": ("gif", saved(image, "GIF", **film)),
        "WebP": ("webp", saved(image, "WEBP")),
        "WebP, lossless": ("webp", saved(image, "WEBP", lossless=True)),
        "WebP, animated": ("webp", saved(image, "WEBP", **film)),
        "WebP, transparent": ("webp", saved(image.convert("RGBA"), "WEBP", exif=b"Exif\0\0II*\0")),
        "HEIC": ("heic", heic(seed)),
        "HEIC, data in meta": ("heic", heic(seed, b"mif1", inside=True)),
        "AVIF": ("avif", heic(seed, b"avif")),
        "MP4, index first": ("mp4", mp4(seed)),
        "MP4, index last": ("mp4", mp4(seed, moov_last=True, wide=True)),
        "MP4, fragmented": ("mp4", fragmented_mp4(seed)),
        "MOV": ("mov", mp4(seed, b"qt  ", moov_last=True)),
        "3GP": ("3gp", mp4(seed, b"3gp5")),
        "M4V": ("m4v", mp4(seed, b"M4V ")),
        "AVI": ("avi", avi(seed)),
        "AVI, continued": ("avi", avi(seed, continued=True)),
        "Matroska": ("mkv", matroska(seed)),
        "WebM, live": ("webm", matroska(seed, b"webm", live=True)),
        "PDF": ("pdf", pdf(seed)),
        "PDF, revised": ("pdf", pdf(seed, 2, b"\r\n")),
        "PDF, bare end": ("pdf", pdf(seed, 0, b"")),
        "PDF, linearised": ("pdf", linearised_pdf(seed)),
        "ZIP": ("zip", archive(seed, comment=b"a remark")),
        "ZIP, streamed": ("zip", archive(seed, streamed=True)),
        "ZIP, 64-bit": ("zip", archive(seed, wide=True)),
        "ZIP, streamed, 64-bit": ("zip", archive(seed, streamed=True, wide=True)),
        "docx": ("docx", archive(seed, ("[Content_Types].xml", "word/document.xml"))),
        "odt": ("odt", archive(seed, ("mimetype", "content.xml"))),
    }
