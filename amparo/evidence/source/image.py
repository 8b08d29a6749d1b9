"""A disk image or a disk, opened read-only as bytes at an address: the format is told by the content, not by the name."""

from __future__ import annotations

import stat
from pathlib import Path

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source import virtual_disks
from amparo.evidence.source.device import Device
from amparo.evidence.source.ewf import EwfDevice
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
        head = device.read(0, 8)
        for mark, what in REFUSED.items():
            if head.startswith(mark):
                raise SourceUnreadable(f"{path.name} is {what} and search that.")
        if head.startswith(EWF_MARK):
            return EWF
        # A part in the middle of a set begins with whatever the disk holds there.
        return raw if parts[0] != path else virtual_disks.recognise(device) or raw
    except ReadFailed:
        return raw  # a disk with a bad first sector is still searched
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be read ({error.strerror}): check the disk it is on.") from None
    finally:
        device.close()


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
        return EwfDevice(path)
    if kind in (RAW, SPLIT_RAW):
        return RawDevice(split_parts(path) if kind == SPLIT_RAW else [path])
    return virtual_disks.open_disk(path, kind)
