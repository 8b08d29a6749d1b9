"""Virtual machines' disks: VMDK and VHDX through libyal's readers, VHD and QCOW2 through our own.

C over hostile bytes: ``open_disk`` is only ever called in a child process. What names other files (extents, parents) is
read here, in Python, and followed only to files that lie beside the image: an image must not make this machine open
``/dev`` or another case's files.

Layout of VMDK after VMware's "Virtual Disk Format 5.0" and libyal's documentation of it.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from pathlib import Path, PureWindowsPath
from typing import Any

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source import qcow2, vhd
from amparo.evidence.source.device import Device, DeviceFile, LibraryDevice
from amparo.evidence.source.raw import FileDevice, Files, RawDevice

VMDK, VHD, VHDX, QCOW2 = "vmdk", "vhd", "vhdx", "qcow2"
SPARSE_MARK, ESX_MARK, DESCRIPTOR_MARK = b"KDMV", b"COWD", b"# Disk DescriptorFile"
VHDX_MARK = b"vhdxfile"
_SECTOR = 512
_COMPRESSED, _LARGEST_GRAIN = 1 << 16, 2048  # a flag of VMDK; in sectors, of which 128 are usual
_MOST_DESCRIPTOR = 1 << 20
_MOST_PARENTS = 32
_EXTENT = re.compile(
    r'^[ \t]*(?:RW|RDONLY|NOACCESS)[ \t]+(\d{1,20})[ \t]+([A-Z0-9]{1,20})(?:[ \t]+"([^"\n]*)")?', re.MULTILINE
)
_PARENT_CID = re.compile(r"^[ \t]*parentCID[ \t]*=[ \t]*([0-9a-fA-F]{1,16})", re.MULTILINE)
_PARENT_HINT = re.compile(r'^[ \t]*parentFileNameHint[ \t]*=[ \t]*"([^"\n]*)"', re.MULTILINE)


def recognise(device: Device) -> str | None:
    """Which of these formats a file's own bytes say it is, or None."""
    head = device.read(0, 64)
    if head.startswith((SPARSE_MARK, ESX_MARK)) or head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(DESCRIPTOR_MARK):
        return VMDK
    if head.startswith(VHDX_MARK):
        return VHDX
    if head.startswith(qcow2.MARK) and head[4:8] in (b"\0\0\0\1", b"\0\0\0\2", b"\0\0\0\3"):
        return QCOW2
    end = vhd.footer(device)
    # Without a copy at the start it must be a disk of fixed size, and speak of this very file.
    if end is not None and (head.startswith(vhd.MARK) or end.size == device.size - _SECTOR):
        return VHD
    return None


def _beside(path: Path, name: str, what: str) -> Path:
    bare = PureWindowsPath(name).name  # takes both / and \
    # The name is the image's to choose: what no file can be called, or would disturb a terminal, is not repeated.
    if not bare.isprintable() or not 0 < len(bare.encode("utf-8", "replace")) <= 255 or bare in (".", ".."):
        raise SourceUnreadable(f"{path.name} names no usable file for its {what}: convert it to a raw image first.")
    there = path.with_name(bare)
    # Nor may a link beside it lead elsewhere: the folder may be the suspect's own.
    if os.path.lexists(there) and not stat.S_ISREG(there.lstat().st_mode):
        raise SourceUnreadable(
            f"{bare}, which {path.name} names for its {what}, is a link or no file, and is not followed: put the file itself there."
        )
    return there


def _descriptor(path: Path, device: Device) -> str:
    """The text part of a VMDK, embedded or on its own."""
    head = device.read(0, _SECTOR)
    if head.startswith(SPARSE_MARK) and len(head) == _SECTOR:
        start, count = struct.unpack_from("<QQ", head, 28)
        raw = device.read(min(start * _SECTOR, device.size), min(count * _SECTOR, _MOST_DESCRIPTOR))
        if not raw.startswith(DESCRIPTOR_MARK):
            raise SourceUnreadable(
                f"{path.name} is one part of a split VMDK, or damaged: give the small descriptor file beside it."
            )
    elif head.startswith(ESX_MARK):
        raise SourceUnreadable(f"{path.name} is one part of an ESX disk: give the small descriptor file beside it.")
    else:
        raw = device.read(0, _MOST_DESCRIPTOR)
    return raw.split(b"\0")[0].decode("utf-8", "replace").replace("\r", "\n")


def files(path: Path, kind: str) -> list[Path]:
    """The files that hold this image's own content, ``path`` first. Raises :class:`SourceUnreadable`."""
    if kind != VMDK:
        return [path]
    device = RawDevice([path])
    try:
        text = _descriptor(path, device)
        if device.read(0, 4) == SPARSE_MARK:
            return [path]
    except ReadFailed as error:
        raise SourceUnreadable(f"{path.name} cannot be read: {error}") from None
    finally:
        device.close()
    return [path, *dict.fromkeys(_beside(path, name, "content") for name in _extents(text) if name)]


def _extents(text: str) -> list[str]:
    return [name for _, kind, name in _EXTENT.findall(text) if kind != "ZERO"]


def parent(path: Path, kind: str) -> Path | None:
    """The image that this one only stores the differences to, beside it, or None. Raises :class:`SourceUnreadable`."""
    device = RawDevice([path])
    try:
        name = _parent_name(path, kind, device)
    except (ReadFailed, struct.error) as error:
        raise SourceUnreadable(f"{path.name} is damaged: its header cannot be read.") from error
    finally:
        device.close()
    if name is None:
        return None
    there = _beside(path, name, "parent")
    if not there.is_file():
        raise SourceUnreadable(
            f"{path.name} only holds the differences to {there.name}: put that file beside it, or give the whole disk."
        )
    return there


def _parent_name(path: Path, kind: str, device: Device) -> str | None:
    if kind == VMDK:
        text = _descriptor(path, device)
        identifier, hint = _PARENT_CID.search(text), _PARENT_HINT.search(text)
        if identifier is None or int(identifier[1], 16) == 0xFFFFFFFF:
            return None
        return hint[1] if hint else ""
    if kind == QCOW2:
        return qcow2.backing_name(device) if device.read(0, 4) == qcow2.MARK else None
    if kind == VHD:
        return vhd.parent_name(device)
    return None


def chain(path: Path, kind: str) -> list[Path]:
    """The image, then its parent, then that one's parent, and so on."""
    images = [path]
    while (next_one := parent(images[-1], kind)) is not None:
        if next_one in images or len(images) > _MOST_PARENTS:
            raise SourceUnreadable(
                f"{path.name} leads to itself through its parents: it is damaged or made to mislead."
            )
        images.append(next_one)
    return images


def open_disk(path: Path, kind: str) -> Device:
    """The content of the virtual disk. Raises :class:`SourceUnreadable`."""
    images = chain(path, kind)
    if kind == QCOW2:
        disk: Device | None = None
        for image in reversed(images):
            file = RawDevice([image])
            # The oldest in the chain may be a plain raw image.
            disk = file if disk is None and file.read(0, 4) != qcow2.MARK else qcow2.Qcow2Device(file, disk, image)
        assert isinstance(disk, qcow2.Qcow2Device)
        disk.problems += [
            f"{path.name} only holds the differences to {other.name}, and nothing but its own header says so: make sure that"
            " this file belongs to the same exhibit."
            for other in images[1:]
        ]
        return disk
    if kind == VHD:
        last: vhd.VhdDevice | None = None
        for image in reversed(images):
            last = vhd.VhdDevice(RawDevice([image]), last, image)
        assert last is not None
        return last
    owners: list[Any] = []
    above: Any = None
    try:
        for image in reversed(images):
            inner = _open_one(image, kind, owners)
            _join(image, inner, above)
            above = inner
            owners.append(inner)
        size = above.get_media_size()
    except (OSError, ValueError, MemoryError, OverflowError) as error:
        raise SourceUnreadable(
            f"{path.name} is damaged and cannot be opened as {kind.upper()}: {_short(error)}"
        ) from None
    if not size:
        raise SourceUnreadable(f"{path.name} holds a disk of no size: take the image again.")
    grain = _compressed(path) if kind == VMDK else 0
    return _Compressed(above, size, grain, *owners) if grain else LibraryDevice(above, size, *owners)


class _Compressed(LibraryDevice):
    """A VMDK of compressed grains, ``grain`` bytes each, of which the library gives all or nothing.

    The one that failed last is not asked for again: each time, the library looks through the whole table that it stands in.
    """

    def __init__(self, inner: Any, size: int, grain: int, *owners: object) -> None:
        super().__init__(inner, size, *owners)
        self._grain, self._lost = grain, -1

    def read(self, offset: int, length: int) -> bytes:
        first = offset // self._grain
        alone = offset + length <= (first + 1) * self._grain
        if alone and first == self._lost:
            raise ReadFailed(f"The range of {length} bytes at {offset} cannot be read.")
        try:
            return super().read(offset, length)
        except ReadFailed:
            self._lost = first if alone else self._lost
            raise


def _compressed(path: Path) -> int:
    """How many bytes a grain of this VMDK holds, or 0 where its grains are not compressed."""
    device = RawDevice([path])
    try:
        head = device.read(0, _SECTOR)
    finally:
        device.close()
    if not head.startswith(SPARSE_MARK) or len(head) < _SECTOR:
        return 0
    flags, grain = struct.unpack_from("<I8xQ", head, 8)
    return int(grain) * _SECTOR if flags & _COMPRESSED and grain <= _LARGEST_GRAIN else 0


def _short(error: BaseException) -> str:
    text = str(error).split("\n")[0].split(":")[-1].strip()
    return f"{text[:120].rstrip('.') or type(error).__name__}."


def _open_one(path: Path, kind: str, owners: list[Any]) -> Any:
    whole = RawDevice([path])
    owners.append(whole)
    import pyvhdi
    import pyvmdk

    inner: Any = pyvmdk.handle() if kind == VMDK else pyvhdi.file()
    inner.open_file_object(DeviceFile(whole))
    if kind == VMDK:
        count = inner.number_of_extents
        own = files(path, kind)
        if len(own) == 1:
            opened = [DeviceFile(whole)] * count
        else:
            names = [inner.get_extent_descriptor(index).filename or "" for index in range(count)]
            # A disk of 2 TB may be cut into a thousand files: more than a process may hold open.
            pool = Files([_beside(path, name, "content") for name in names])
            opened = [DeviceFile(FileDevice(pool, index)) for index in range(count)]
        inner.open_extent_data_files_as_file_objects(opened)
    return inner


def _join(path: Path, inner: Any, above: Any) -> None:
    """Give an image its parent, having made sure that it is the right one."""
    if above is None:
        import pyvhdi

        if isinstance(inner, pyvhdi.file) and inner.disk_type == pyvhdi.disk_types.DIFFERENTIAL:
            raise SourceUnreadable(f"{path.name} only holds the differences to another disk: give the whole disk.")
    elif inner.parent_content_identifier == above.content_identifier:
        inner.set_parent(above)
    else:
        raise SourceUnreadable(f"The parent beside {path.name} is not the one it was made from: find the right one.")
