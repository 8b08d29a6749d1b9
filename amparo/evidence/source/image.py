"""A disk image or a disk, opened read-only as bytes at an address: the format is told by the content, not by the name."""

from __future__ import annotations

import stat
from pathlib import Path

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source import vhd, virtual_disks
from amparo.evidence.source.device import Device
from amparo.evidence.source.disguise import disk_beneath
from amparo.evidence.source.ewf_segments import MARK as EWF_MARK
from amparo.evidence.source.ewf_segments import segment_files
from amparo.evidence.source.raw import RawDevice, split_parts

RAW, SPLIT_RAW, EWF = "raw", "split raw", "ewf"
REFUSED = {
    b"EVF2\x0d\x0a\x81\x00": "an Ex01 image, which is not read here: save it as E01",
    b"LVF\x09\x0d\x0a\xff\x00": "a logical evidence file (L01), which holds files and no disk: export them to a folder",
    b"LEF2\x0d\x0a\x81\x00": "a logical evidence file (Lx01), which holds files and no disk: export them to a folder",
    b"ADCRYPT\0": "an image encrypted by FTK Imager: decrypt it there",
    b"AFF10\x0d\x0a\0": "an AFF image, which is not read here: convert it to raw or E01",
}


def image_format(path: Path) -> str:
    """``raw``, ``split raw``, ``ewf``, ``vmdk``, ``vhd``, ``vhdx`` or ``qcow2``. Raises :class:`SourceUnreadable`."""
    device = RawDevice([path])
    try:
        # A real disk is never interpreted: its first bytes are the suspect's to write.
        if stat.S_ISBLK(path.stat().st_mode):
            return RAW
        parts = split_parts(path)
        raw = SPLIT_RAW if len(parts) > 1 else RAW
        # A part in the middle of a set begins with whatever the disk holds there.
        said = None if parts[0] != path and not device.read(0, 8).startswith(EWF_MARK) else _by_its_beginning(device)
        if said is None or _disguised(device, said):
            return raw
        if said in REFUSED.values():
            raise SourceUnreadable(f"{path.name} is {said} and search that.")
        return said
    except ReadFailed:
        return raw  # a disk with a bad first sector is still searched
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be read ({error.strerror}): check the disk it is on.") from None
    finally:
        device.close()


def _by_its_beginning(device: Device) -> str | None:
    """The format that the first bytes speak of: one that is read here, or a value of ``REFUSED``. Raises ReadFailed."""
    head = device.read(0, 8)
    for mark, what in REFUSED.items():
        if head.startswith(mark):
            return what
    return EWF if head.startswith(EWF_MARK) else virtual_disks.recognise(device)


def _disguised(device: Device, said: str) -> str | None:
    """What disk lies in a file that says it is something else. Raises ReadFailed."""
    if said == virtual_disks.VHD and not device.read(0, 8).startswith(vhd.MARK):
        return None  # of fixed size: the disk itself, and a sector that describes it
    return disk_beneath(device)


def _as_a_disk(path: Path, kind: str) -> RawDevice:
    """The raw image, with a problem where its beginning says that it is something else."""
    device = RawDevice(split_parts(path) if kind == SPLIT_RAW else [path])
    try:
        said = None if stat.S_ISBLK(path.stat().st_mode) else _by_its_beginning(device)
        beneath = _disguised(device, said) if said is not None else None
    except (ReadFailed, OSError):
        return device
    if beneath is not None:
        what = said if said in REFUSED.values() else f"an image in the format {said}"
        device.problems.append(
            f"{path.name} begins like {str(what).split(',')[0]} but holds {beneath} as it is: it was made to mislead, and was"
            " searched as the disk that it is."
        )
    return device


def image_files(path: Path) -> list[Path]:
    """Every file that makes up the image, in order. Raises :class:`SourceUnreadable`."""
    kind = image_format(path)
    if kind == EWF:
        return [file for _, file in segment_files(path)]
    if kind in (RAW, SPLIT_RAW):
        return split_parts(path) if kind == SPLIT_RAW else [path]
    return [file for image in virtual_disks.chain(path, kind) for file in virtual_disks.files(image, kind)]


def open_image(path: Path) -> Device:
    """The content of the image at ``path``, which may be any part of its set. Raises :class:`SourceUnreadable`.

    The device may have ``problems``, sentences about what is missing or damaged, and ``stored_digests``, what the image
    says its own digests are. VMDK and VHDX are read by libraries in C: open images in child processes only.
    """
    kind = image_format(path)
    if kind == EWF:
        from amparo.evidence.source.ewf import EwfDevice

        return EwfDevice(path)
    if kind in (RAW, SPLIT_RAW):
        return _as_a_disk(path, kind)
    return virtual_disks.open_disk(path, kind)
