"""The computer of the demonstration: what lies on its disk, and the truth about it, known because it was put there.

Nothing here is anybody's: shapes, invented papers, and programs that are noise. The same seed gives the same disk.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from amparo.demo import alike, archives, documents, partition_table
from amparo.demo.content import Placed
from amparo.demo.fat import FatVolume
from amparo.demo.ntfs import NtfsVolume
from amparo.demo.pictures import picture

SEED: Final = 2026
DISK_SIZE: Final = 61 << 20
NTFS_AT, NTFS_SIZE = 1 << 20, 24 << 20
BETWEEN: Final = 25 << 20
FAT_AT, FAT_SIZE = 26 << 20, 34 << 20
NTFS, FAT, OUTSIDE = 1, 2, 0
"""The volumes' numbers, as the search gives them; 0 stands for the space that no partition covers."""

HOME: Final = "Users/exemplo"
LONG_NAME: Final = ("nome comprido " * 19)[:251] + ".gif"
_DAY: Final = datetime(2026, 1, 12, 9, 30, tzinfo=UTC)


class Planted(NamedTuple):
    """A known picture, and where the search must find it.

    ``state`` is that of ``files.state``, or ``lost`` for one that cannot be found: then ``path`` is the file whose row, or
    problem, must say why. ``path`` is empty for what is carved, and only the member's name for what is inside something carved;
    ``offset`` is the byte of the disk where carved content begins. ``original`` is there where the list knows another picture, of which
    this one is a changed copy: that one's fingerprint, by which alone it can be found.
    """

    entry: str
    content: bytes
    state: str
    volume: int
    path: str
    offset: int | None = None
    original: bytes | None = None


@dataclass(frozen=True, slots=True)
class Computer:
    """A disk not yet written, and the truth about it. ``ordinary`` are contents of the list of known good files."""

    partitions: list[partition_table.Partition]
    between: dict[int, bytes]
    planted: list[Planted]
    ordinary: dict[str, bytes]
    placed: dict[int, list[Placed]]

    def write(self, path: Path) -> None:
        """Write the disk image to ``path``."""
        partition_table.write_disk(path, DISK_SIZE, self.partitions, self.between, SEED)


@dataclass(slots=True)
class _Desk:
    """Where the disk is put together: files by volume, and what is on the list."""

    chance: random.Random
    seed: int
    files: dict[int, list[Placed]] = field(default_factory=lambda: {NTFS: [], FAT: []})
    loose: dict[int, list[tuple[str, bytes]]] = field(default_factory=lambda: {NTFS: [], FAT: [], OUTSIDE: []})
    planted: list[Planted] = field(default_factory=list)
    ordinary: dict[str, bytes] = field(default_factory=dict)
    _number: int = 0

    def shape(self, name: str) -> bytes:
        """``form-colour.suffix`` as bytes."""
        stem, _, suffix = name.partition(".")
        return picture(stem, suffix, self.seed)

    def entry(self) -> str:
        self._number += 1
        return f"D-{self._number:03}"

    def moments(self) -> tuple[datetime, datetime]:
        created = _DAY + timedelta(minutes=self.chance.randrange(200 * 24 * 60))
        return created, created + timedelta(minutes=self.chance.randrange(60 * 24 * 60))

    def put(
        self,
        volume: int,
        path: str,
        content: bytes,
        *,
        deleted: bool = False,
        over: str | None = None,
        strays: bool = False,
        pieces: int = 1,
        streams: dict[str, bytes] | None = None,
    ) -> None:
        created, modified = self.moments()
        self.files[volume].append(
            Placed(path, content, created, modified, deleted, over, strays, pieces, streams or {})
        )

    def know(self, name: str, state: str, volume: int, path: str) -> bytes:
        """A picture that goes on the list, and the place where it must be found."""
        content = self.shape(name)
        self.planted.append(Planted(self.entry(), content, state, volume, path))
        return content

    def know_alike(self, number: int, how: str, state: str, volume: int, path: str) -> bytes:
        """A changed copy of a landscape whose fingerprint goes on the list, and the place where the copy must be found."""
        original = alike.landscape(1000 * self.seed + number)
        content = alike.COPIES[how](original)
        self.planted.append(Planted(self.entry(), content, state, volume, path, original=alike.fingerprint(original)))
        return content


def build(seed: int = SEED) -> Computer:
    """The computer of this seed."""
    desk = _Desk(random.Random(seed), seed)  # noqa: S311  the same disk each time is what is wanted
    for part in (_system, _papers, _live, _deleted, _inside, _alike, _left_in_free_space):
        part(desk)
    return _assembled(desk)


def _system(desk: _Desk) -> None:
    """What every such computer has; the list of ordinary files knows it."""
    for number in range(1, 19):
        folder = ("Windows/System32", "Windows/Fonts", "Program Files/Exemplo")[number % 3]
        content = b"MZ\x90\0" + desk.chance.randbytes(desk.chance.randrange(2_000, 40_000))
        path = f"{folder}/exemplo-{number:02}.{('dll', 'dat', 'exe')[number % 3]}"
        desk.ordinary[path] = content
        desk.put(NTFS, path, content)
    desk.put(NTFS, "Windows/win.ini", b"; for 16-bit app support\r\n[fonts]\r\n[extensions]\r\n")


def _papers(desk: _Desk) -> None:
    for number in range(1, 31):
        title = f"Apontamento {number}"
        desk.put(NTFS, f"{HOME}/Documents/Apontamentos/{title}.txt", documents.text(title, 3 * number))
    for number in range(1, 7):
        desk.put(NTFS, f"{HOME}/Documents/Relatório {number}.pdf", documents.pdf(f"Relatório de exemplo {number}"))
        desk.put(FAT, f"Papéis/Página {number}.txt", documents.text(f"Página {number}", 40 * number))
    desk.put(NTFS, f"{HOME}/Desktop/Lista de compras.txt", documents.text("Pão, leite e laranjas", 2))
    for name in ("riscas-cinzento.jpg", "xadrez-cinzento.png", "anel-cinzento.gif", "cruz-cinzento.jpg"):
        desk.put(NTFS, f"{HOME}/Pictures/Sem interesse/{name}", desk.shape(name))


def _live(desk: _Desk) -> None:
    """Known pictures among the files as anybody sees them, some under other names."""
    pictures = f"{HOME}/Pictures/Férias 2026"
    place = f"{pictures}/triângulo azul.jpg"
    mark = {"Zone.Identifier": b"[ZoneTransfer]\r\nZoneId=3\r\n"}
    triangle = desk.know("triangulo-azul.jpg", "live", NTFS, place)
    desk.put(NTFS, place, triangle, streams=mark)
    again = Planted(desk.planted[-1].entry, triangle, "live", NTFS, f"{HOME}/Documents/Cópia de segurança/IMG_0001.jpg")
    desk.planted.append(again)
    desk.put(NTFS, again.path, triangle)
    place = f"{HOME}/AppData/Local/Temp/~a1b2c3.dat"
    desk.put(NTFS, place, desk.know("circulo-vermelho.png", "live", NTFS, place))
    place = f"{pictures}/quadrado em pedaços.jpg"
    desk.put(NTFS, place, desk.know("quadrado-verde.jpg", "live", NTFS, place), pieces=2)
    place = f"{HOME}/Desktop/Nomes/{LONG_NAME}"
    desk.put(NTFS, place, desk.know("anel-amarelo.gif", "live", NTFS, place))
    place = f"{HOME}/Desktop/Nomes/duas\nlinhas.jpg"
    desk.put(NTFS, place, desk.know("losango-roxo.jpg", "live", NTFS, place))
    place = f"{HOME}/Documents/Carta.txt"
    hidden = desk.know("riscas-laranja.png", "live", NTFS, f"{place}:anexo")
    desk.put(NTFS, place, documents.text("Carta", 5), streams={"anexo": hidden})
    place = "Cópias/xadrez azul.jpg"
    desk.put(FAT, place, desk.know("xadrez-azul.jpg", "live", FAT, place))


def _deleted(desk: _Desk) -> None:
    """Deleted pictures: whole, without a directory, and one whose place was given away."""
    place = f"{HOME}/Pictures/Férias 2026/cruz vermelha.jpg"
    desk.put(NTFS, place, desk.know("cruz-vermelho.jpg", "deleted", NTFS, place), deleted=True)
    place = f"{HOME}/Pictures/Sem interesse/riscas apagadas.png"
    desk.put(NTFS, place, desk.shape("riscas-turquesa.png"), deleted=True)
    place = "Cópias/Triângulo verde apagado.png"
    desk.put(FAT, place, desk.know("triangulo-verde.png", "deleted", FAT, place), deleted=True)
    place = "círculo sem pasta.jpg"
    found = desk.know("circulo-amarelo.jpg", "orphan", NTFS, f"$OrphanFiles/{place}")
    desk.put(NTFS, f"{HOME}/Downloads/{place}", found, strays=True)
    place = f"{HOME}/Downloads/losango escrito por cima.jpg"
    desk.put(NTFS, place, desk.know("losango-laranja.jpg", "lost", NTFS, place), deleted=True)
    desk.put(NTFS, f"{HOME}/Downloads/Veio depois.txt", documents.text("Veio depois", 70), over=place)


def _inside(desk: _Desk) -> None:
    """Pictures inside other files."""
    day = _DAY + timedelta(days=90)
    place, member = f"{HOME}/Downloads/formas.zip", "formas/riscas verdes.jpg"
    found = desk.know("riscas-verde.jpg", "inside", NTFS, f"{place}/{member}")
    desk.put(NTFS, place, archives.zipped({"leia-me.txt": documents.text("Formas", 9), member: found}, day))
    place, member = f"{HOME}/Downloads/formas.tar.gz", "formas/xadrez.png"
    found = desk.know("xadrez-vermelho.png", "inside", NTFS, f"{place}/formas.tar/{member}")
    desk.put(NTFS, place, archives.tar_gz({member: found}, day))
    place = "Cópias/caixa dentro de caixa.zip"
    found = desk.know("cruz-amarelo.jpg", "inside", FAT, f"{place}/caixa.zip/cruz amarela.jpg")
    desk.put(FAT, place, archives.zipped({"caixa.zip": archives.zipped({"cruz amarela.jpg": found}, day)}, day))
    place, member = f"{HOME}/Downloads/apagado.zip", "triângulo roxo.jpg"
    found = desk.know("triangulo-roxo.jpg", "inside", NTFS, f"{place}/{member}")
    desk.put(NTFS, place, archives.zipped({member: found}, day), deleted=True)
    place = f"{HOME}/Documents/Convite.docx"
    found = desk.know("circulo-turquesa.png", "inside", NTFS, f"{place}/word/media/image1.png")
    desk.put(NTFS, place, documents.docx(["Convite de exemplo."], day, {"image1.png": found}))
    place, member = f"{HOME}/AppData/Local/Microsoft/Windows/Explorer/thumbcache_256.db", "1f2e3d4c5b6a7988"
    found = desk.know("quadrado-cinzento.jpg", "inside", NTFS, f"{place}/{member}.jpg")
    desk.put(NTFS, place, archives.thumbnails({member: found, "00a1b2c3d4e5f607": desk.shape("anel-roxo.jpg")}))
    place, member = f"{HOME}/Downloads/com palavra-passe.zip", "cruz azul.jpg"
    hidden = desk.know("cruz-azul.jpg", "lost", NTFS, place)
    desk.put(NTFS, place, archives.zipped_with_password(member, hidden, b"exemplo", day, desk.seed))


def _alike(desk: _Desk) -> None:
    """Copies that were changed, so that no digest finds them, and pictures that resemble nothing on the list."""
    day = _DAY + timedelta(days=100)
    pictures = f"{HOME}/Pictures/Paisagens"
    for number, (how, name) in enumerate(
        (("recompressed", "comprimida outra vez.jpg"), ("smaller", "mais pequena.png"), ("mirrored", "ao espelho.webp"))
    ):
        place = f"{pictures}/{name}"
        desk.put(NTFS, place, desk.know_alike(number, how, "live", NTFS, place))
    place = "Cópias/paisagem rodada e apagada.jpg"
    desk.put(FAT, place, desk.know_alike(3, "turned", "deleted", FAT, place), deleted=True)
    place, member = f"{HOME}/Downloads/paisagens.zip", "paisagem.jpg"
    found = desk.know_alike(4, "recompressed", "inside", NTFS, f"{place}/{member}")
    desk.put(NTFS, place, archives.zipped({member: found}, day))
    for number in range(100, 104):
        desk.put(NTFS, f"{pictures}/outra {number - 99}.jpg", alike.unlike(1000 * desk.seed + number))


def _left_in_free_space(desk: _Desk) -> None:
    """Contents that no record leads to any more: only their form gives them away."""
    day = _DAY + timedelta(days=120)
    for name, volume in (("quadrado-roxo.jpg", NTFS), ("anel-laranja.png", FAT), ("losango-azul.gif", OUTSIDE)):
        desk.loose[volume].append((desk.entry(), desk.shape(name)))
    desk.loose[NTFS].append(("", desk.shape("xadrez-turquesa.jpg")))
    found = desk.know("anel-verde.jpg", "inside", NTFS, "anel verde.jpg")
    desk.loose[NTFS].append(("", archives.zipped({"anel verde.jpg": found}, day)))


def _assembled(desk: _Desk) -> Computer:
    ntfs = NtfsVolume(NTFS_SIZE, "Windows", _DAY, NTFS_AT, desk.chance.getrandbits(64))
    fat = FatVolume(FAT_SIZE, "PEN DEMO", FAT_AT, desk.chance.getrandbits(32))
    between: dict[int, bytes] = {}

    def outside(contents: list[bytes]) -> list[int]:
        places = [BETWEEN + (number << 17) for number in range(1, len(contents) + 1)]
        between.update(zip(places, contents, strict=True))
        return places

    writers: dict[int, tuple[int, Callable[[list[bytes]], list[int]]]] = {
        NTFS: (NTFS_AT, lambda contents: ntfs.lay(desk.files[NTFS], contents)),
        FAT: (FAT_AT, lambda contents: fat.lay(desk.files[FAT], contents)),
        OUTSIDE: (0, outside),
    }
    for volume, (start, lay) in writers.items():
        loose = desk.loose[volume]
        for (entry, content), place in zip(loose, lay([content for _, content in loose]), strict=True):
            if entry:
                desk.planted.append(Planted(entry, content, "carved", volume, "", start + place))
    partitions = [
        partition_table.Partition(NTFS_AT, ntfs.image, "Windows"),
        partition_table.Partition(FAT_AT, fat.image, "PEN DEMO"),
    ]
    return Computer(partitions, between, desk.planted, desk.ordinary, desk.files)
