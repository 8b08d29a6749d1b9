"""A disk image or a disk, opened read-only as bytes at an address: the format is told by the content, not by the name."""

from __future__ import annotations

import stat
from pathlib import Path

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source import virtual_disks
from amparo.evidence.source.device import Device
from amparo.evidence.source.ewf import EwfDevice
from amparo.evidence.source.ewf_segments import segment_files
from amparo.evidence.source.raw import RawDevice, split_parts

RAW, SPLIT_RAW, EWF = "raw", "split raw", "ewf"
EWF_MARK, EWF_LOGICAL_MARK = b"EVF\x09\x0d\x0a\xff\x00", b"LVF\x09\x0d\x0a\xff\x00"
EWF2_MARK, EWF2_LOGICAL_MARK = b"EVF2\x0d\x0a\x81\x00", b"LEF2\x0d\x0a\x81\x00"


def image_format(path: Path) -> str:
    """``raw``, ``split raw``, ``ewf``, ``vmdk``, ``vhd``, ``vhdx`` or ``qcow2``. Raises :class:`SourceUnreadable`."""
    device = RawDevice([path])
    try:
        # A real disk is never interpreted: its first bytes are the suspect's to write.
        if stat.S_ISBLK(path.stat().st_mode):
            return RAW
        head = device.read(0, 8)
        if head.startswith((EWF_LOGICAL_MARK, EWF2_LOGICAL_MARK)):
            raise SourceUnreadable(
                f"{path.name} is a logical evidence file (L01), which holds files and no disk: export them to a folder."
            )
        if head.startswith((EWF_MARK, EWF2_MARK)):
            return EWF
        return virtual_disks.recognise(device) or (SPLIT_RAW if len(split_parts(path)) > 1 else RAW)
    except ReadFailed:
        return RAW  # a disk with a bad first sector is still searched
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
    says its own digests are. Formats read by libraries in C (all but raw and E01) are opened in child processes only.
    """
    kind = image_format(path)
    if kind == EWF:
        return EwfDevice(path)
    if kind in (RAW, SPLIT_RAW):
        return RawDevice(split_parts(path) if kind == SPLIT_RAW else [path])
    return virtual_disks.open_disk(path, kind)
