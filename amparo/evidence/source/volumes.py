"""The volumes of a source: what each is, where it lies, and how to open it again in another process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source import hfs_header, partitions
from amparo.evidence.source.device import Device, Window
from amparo.evidence.source.entry import Entry
from amparo.evidence.source.free_space import Allocation

NTFS, FAT, EXFAT, EXT, ISO, HFS, APFS, XFS = "ntfs", "fat", "exfat", "ext", "iso9660", "hfs", "apfs", "xfs"
BITLOCKER, LUKS, LVM = "bitlocker", "luks", "lvm"
CONTAINERS = (BITLOCKER, LUKS, LVM)

Layer = tuple[str, str]  # what to open ("lvm", "bitlocker", "luks", "shadow") and which one of them


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume. ``offset`` and ``size`` in bytes of the source; ``layers`` lead from there to the file system."""

    id: int
    kind: str
    offset: int
    size: int
    filesystem: str | None = None
    label: str | None = None
    parent: int | None = None
    layers: tuple[Layer, ...] = ()

    @property
    def addressed(self) -> bool:
        """Whether the volume's bytes lie in the source as they are, so that an extent can be given in the source."""
        return not self.layers


class FileSystem(Protocol):
    """What every file-system reader offers."""

    kind: str
    problems: list[str]

    def entries(self) -> Iterator[Entry]: ...

    def allocation(self) -> Allocation: ...


@dataclass(slots=True)
class Survey:
    """The volumes found, and what could not be opened: ``(stage, path, message)``."""

    volumes: list[Volume] = field(default_factory=list)
    problems: list[tuple[str, str | None, str]] = field(default_factory=list)

    def add(self, kind: str, offset: int, size: int, **more: object) -> Volume:
        """A further volume, numbered after the last."""
        number = max((volume.id for volume in self.volumes), default=0) + 1
        volume = Volume(number, kind, offset, size, **more)  # type: ignore[arg-type]
        self.volumes.append(volume)
        return volume


_MEGABYTE = 1 << 20

# What writes its own mark into the first sector leaves no room there for a partition table.
_FIRST_SECTOR = (NTFS, EXFAT, FAT, BITLOCKER, LUKS, APFS, XFS)


def recognise(device: Device) -> str | None:
    """The file system or container at the start of a device, by its own marks; None where there is none that we know."""
    return _by_marks(device) or _by_copy(device)


def _by_marks(device: Device) -> str | None:
    try:
        head = device.read(0, 4096)
    except ReadFailed:
        head = b""
    if head[3:11] == b"NTFS    ":
        return NTFS
    if head[3:11] == b"EXFAT   ":
        return EXFAT
    if head[3:11] == b"-FVE-FS-" or (
        head[3:11] == b"MSWIN4.1" and head[424:432] == b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a"
    ):
        return BITLOCKER
    if head[:6] == b"LUKS\xba\xbe":
        return LUKS
    if any(head[at : at + 8] == b"LABELONE" for at in (0, 512, 1024, 1536)):
        return LVM
    if head[32:36] == b"NXSB":
        return APFS
    if head[:4] == b"XFSB":
        return XFS
    if head[1080:1082] == b"\x53\xef":
        return EXT
    if head[1024:1026] in (b"H+", b"HX", b"BD"):
        return HFS
    if _is_fat(head):
        return FAT
    try:
        if device.read(32769, 5) == b"CD001":
            return ISO
        if device.read(16384, 8) == b"SKUL\xba\xbe\0\2":
            return LUKS  # only the second header is left
    except ReadFailed:
        pass
    return None


def _by_copy(device: Device) -> str | None:
    """NTFS or HFS+ by the copy at the end of what its first sectors say, which may be all that is left of these."""
    try:
        if device.read(max(0, device.size - 512), 11)[3:11] == b"NTFS    ":
            return NTFS
        if device.size > 4096 and hfs_header.is_header(device.read(device.size - 1024, 512)):
            return HFS
    except ReadFailed:
        pass
    return None


def _is_fat(head: bytes) -> bool:
    if len(head) < 512 or head[510:512] != b"\x55\xaa" or head[0] not in (0xEB, 0xE9):
        return False
    sector, cluster, reserved, copies = (
        int.from_bytes(head[11:13], "little"),
        head[13],
        int.from_bytes(head[14:16], "little"),
        head[16],
    )
    media = head[21]
    return (
        sector in (512, 1024, 2048, 4096)
        and cluster != 0
        and not cluster & (cluster - 1)
        and reserved != 0
        and copies in (1, 2)
        and (media == 0xF0 or media >= 0xF8)
    )


def survey(device: Device, keys: tuple[str, ...] = (), nested: bool = True) -> Survey:
    """Every volume of a disk, and where ``nested`` those within them; an encrypted one that no key opens is a problem,
    never silence."""

    def known(part: partitions.Partition) -> bool:
        return recognise(Window(device, part.offset, part.size)) is not None

    found = Survey()
    whole = _by_marks(device)
    table, problems = ([], []) if whole in _FIRST_SECTOR else partitions.partitions(device, known)
    if whole is not None and not any(map(known, table)):
        table, problems = [], []  # no partition table after all: the first sector is the file system's to fill
    found.problems += [("partitions", None, message) for message in problems]
    if table:
        for part in table:
            filesystem = recognise(Window(device, part.offset, part.size))
            found.add("partition", part.offset, part.size, filesystem=filesystem, label=part.label)
        _add_gaps(device, found, partitions.gaps(table, device.size))
    elif whole is None and _by_copy(device) is None and _lost(device, 0, device.size):
        found.problems.append(
            ("partitions", None, "The partition table is lost; its first file system was found again.")
        )
        _add_gaps(device, found, [(0, device.size)])
    else:
        whole = whole or recognise(device)
        found.volumes.append(Volume(0, "bare", 0, device.size, whole))
        if whole is None:
            found.problems.append(
                ("volumes", None, "No partition table and no file system was recognised: the source was only carved.")
            )
    for volume in list(found.volumes):
        if volume.kind == "partition" and volume.filesystem is None:
            message = (
                f"The partition at byte {volume.offset} holds no file system that is known here: it was only carved."
            )
            found.problems.append(("volumes", f"volume {volume.id}", message))
    if nested:
        from amparo.evidence.source import layers

        layers.open_nested(device, found, keys)
    return found


def _add_gaps(device: Device, found: Survey, gaps: list[tuple[int, int]]) -> None:
    for offset, length in gaps:
        lost = _lost(device, offset, length)
        if lost is None:
            found.add("unpartitioned", offset, length)
            continue
        start, filesystem = lost
        if start > offset:
            found.add("unpartitioned", offset, start - offset)
        found.add("unpartitioned", start, offset + length - start, filesystem=filesystem)


def _lost(device: Device, offset: int, length: int) -> tuple[int, str] | None:
    """Where a file system begins that no partition covers any more, and which: at the usual starts of a partition."""
    for start in sorted({offset, 63 * 512, -(-offset // _MEGABYTE) * _MEGABYTE or _MEGABYTE}):
        if offset <= start < offset + length:
            filesystem = _by_marks(Window(device, start, offset + length - start))
            if filesystem is not None:
                return start, filesystem
    return None


def open_volume(device: Device, volume: Volume, keys: tuple[str, ...] = ()) -> Device:
    """The bytes of a volume, through whatever lies between it and the source."""
    whole = volume.offset == 0 and volume.size == device.size
    inner: Device = device if whole else Window(device, volume.offset, volume.size)
    if volume.layers:
        from amparo.evidence.source import layers

        for layer in volume.layers:
            inner = layers.open_layer(inner, layer, keys)
    return inner


def open_filesystem(device: Device, kind: str, keys: tuple[str, ...] = ()) -> FileSystem:
    """The reader for a file system. Raises :class:`SourceUnreadable` where it is damaged beyond use."""
    if kind == NTFS:
        from amparo.evidence.source.ntfs import NtfsVolume
        from amparo.evidence.source.shadow_copies import EarlierVolume, ShadowDevice

        return EarlierVolume(device) if isinstance(device, ShadowDevice) else NtfsVolume(device)
    if kind in (APFS, XFS):
        from amparo.evidence.source import libyal_filesystems

        return libyal_filesystems.open_filesystem(device, kind, keys)
    if kind == EXFAT:
        from amparo.evidence.source.exfat import ExfatVolume

        return ExfatVolume(device)
    if kind == EXT:
        from amparo.evidence.source.ext import ExtVolume

        return ExtVolume(device)
    if kind == HFS:
        from amparo.evidence.source.hfs import HfsVolume

        return HfsVolume(device)
    if kind == ISO:
        from amparo.evidence.source.iso9660 import IsoVolume

        return IsoVolume(device)
    if kind == FAT:
        from amparo.evidence.source.tsk import TskVolume

        return TskVolume(device)
    raise SourceUnreadable(f"No reader for {kind} is at hand.")


class ContentReader(Protocol):
    """A library that reads a content which runs alone do not tell."""

    def content(self, address: str, size: int) -> Iterator[bytes]: ...


def open_content(device: Device, kind: str, keys: tuple[str, ...] = ()) -> ContentReader:
    """The library that reads compressed or otherwise stored content on a file system."""
    if kind in (APFS, XFS):
        from amparo.evidence.source import libyal_filesystems

        return libyal_filesystems.open_filesystem(device, kind, keys)
    if kind == HFS:
        from amparo.evidence.source.hfs import HfsVolume

        return HfsVolume(device)
    from amparo.evidence.source.tsk import TskVolume

    return TskVolume(device)
