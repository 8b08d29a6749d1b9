"""What may lie between a partition and its file system: LVM, BitLocker, LUKS, volume shadow copies."""

from __future__ import annotations

import re
from datetime import UTC
from pathlib import Path
from typing import Any

import pybde
import pyvshadow
import pyvslvm

from amparo.clock import iso
from amparo.errors import AmparoError, ReadFailed, SourceUnreadable, UsedWrongly
from amparo.evidence.source.device import Device, DeviceFile, LibraryDevice, Window
from amparo.evidence.source.luks import open_luks
from amparo.evidence.source.volumes import BITLOCKER, LUKS, LVM, NTFS, Layer, Survey, Volume, recognise

SHADOW = "shadow"
_RECOVERY_KEY = re.compile(r"^\d{6}(-\d{6}){7}$")
_DEEPEST = 4
_NAMES = {BITLOCKER: "BitLocker", LUKS: "LUKS", LVM: "LVM"}


def open_nested(source: Device, found: Survey, keys: tuple[str, ...]) -> None:
    """Open what is nested in the volumes found so far and add it; what cannot be opened becomes a problem."""
    waiting = list(found.volumes)
    while waiting:
        outer = waiting.pop(0)
        place = f"volume {outer.id}"
        try:
            device = _inside(source, outer, keys)
            if outer.filesystem in (BITLOCKER, LUKS):
                inner = open_layer(device, (outer.filesystem, ""), keys)
                waiting.append(_add(found, outer, "logical", (outer.filesystem, ""), inner, outer.label))
            elif outer.filesystem == LVM:
                for name, size in _logical_volumes(device):
                    inner = open_layer(device, (LVM, name), keys)
                    waiting.append(_add(found, outer, "logical", (LVM, name), inner, name))
                    del size
            elif outer.filesystem == NTFS and outer.kind != SHADOW:
                for index, label in _shadows(device):
                    inner = open_layer(device, (SHADOW, str(index)), keys)
                    _add(found, outer, SHADOW, (SHADOW, str(index)), inner, label)
        except (AmparoError, OSError) as error:
            found.problems.append(("volumes", place, str(error) or "What is nested in it cannot be opened."))


def open_layer(device: Device, layer: Layer, keys: tuple[str, ...]) -> Device:
    """The device behind one layer. Raises :class:`SourceUnreadable` where it does not open."""
    kind, which = layer
    if kind == BITLOCKER:
        return _bitlocker(device, keys)
    if kind == LUKS:
        if not keys:
            raise SourceUnreadable("It is encrypted with LUKS: give its passphrase with --key.")
        return open_luks(device, tuple(_secret(key) for key in keys))
    try:
        if kind == LVM:
            handle, group = _group(device)
            for index in range(group.number_of_logical_volumes):
                logical = group.get_logical_volume(index)
                if logical.name == which:
                    return LibraryDevice(logical, int(logical.size), handle, group)
        if kind == SHADOW:
            volume = pyvshadow.volume()
            volume.open_file_object(DeviceFile(device))
            store = volume.get_store(int(which))
            return LibraryDevice(store, int(store.volume_size), volume)
    except OSError as error:
        raise SourceUnreadable(f"What is nested in it ({kind} {which}) is damaged and cannot be opened.") from error
    raise SourceUnreadable(f"What is nested in it ({kind} {which}) was not met again.")


def _inside(source: Device, volume: Volume, keys: tuple[str, ...]) -> Device:
    inner: Device = Window(source, volume.offset, volume.size)
    if len(volume.layers) > _DEEPEST:
        raise SourceUnreadable("Volumes are nested too deep here: what lies deeper was not searched.")
    for layer in volume.layers:
        inner = open_layer(inner, layer, keys)
    return inner


def _add(found: Survey, outer: Volume, kind: str, layer: Layer, inner: Device, label: str | None) -> Volume:
    known = recognise(inner)
    volume = found.add(
        kind, outer.offset, outer.size, filesystem=known, label=label, parent=outer.id, layers=(*outer.layers, layer)
    )
    if known is None:
        found.problems.append(
            ("volumes", f"volume {volume.id}", "It holds no file system that is known here: it was only carved.")
        )
    return volume


def _secret(key: str) -> bytes:
    if not key.startswith("@"):
        return key.encode()
    try:
        return Path(key[1:]).read_bytes()
    except OSError as error:
        raise UsedWrongly(f"The key file {key[1:]} cannot be read: check its path.") from error


def _bitlocker(device: Device, keys: tuple[str, ...]) -> Device:
    volume = pybde.volume()
    try:
        volume.open_file_object(DeviceFile(device))
        locked = volume.is_locked()
    except OSError as error:
        raise SourceUnreadable("The BitLocker volume is damaged and cannot be opened.") from error
    if locked and not keys:
        raise SourceUnreadable("It is encrypted with BitLocker: give its password or recovery key with --key.")
    for key in keys if locked else ():
        try:
            if key.startswith("@"):
                volume.read_startup_key(key[1:])
            elif _RECOVERY_KEY.match(key):
                volume.set_recovery_password(key)
            else:
                volume.set_password(key)
            if volume.unlock():
                locked = False
                break
        except OSError:
            continue
    if locked:
        raise SourceUnreadable("No key that was given opens the BitLocker volume.")
    return LibraryDevice(volume, int(volume.size))


def _group(device: Device) -> tuple[Any, Any]:
    handle = pyvslvm.handle()
    file = DeviceFile(device)
    handle.open_file_object(file)
    handle.open_physical_volume_files_as_file_objects([file])
    return handle, handle.get_volume_group()


def _logical_volumes(device: Device) -> list[tuple[str, int]]:
    try:
        _, group = _group(device)
        found = [group.get_logical_volume(index) for index in range(group.number_of_logical_volumes)]
        return [(logical.name, int(logical.size)) for logical in found]
    except OSError as error:
        raise SourceUnreadable("The LVM volume group is damaged, or part of it lies on another disk.") from error


def _shadows(device: Device) -> list[tuple[int, str]]:
    """Number and label of every shadow copy. Most volumes have none, and most of those say so in one sector."""
    try:
        if device.read(0x1E00, 16) != b"\x6b\x87\x08\x38\x76\xc1\x48\x4e\xb7\xae\x04\x04\x6e\x6c\xc7\x52":
            return []
        volume = pyvshadow.volume()
        volume.open_file_object(DeviceFile(device))
        found = []
        for index in range(volume.number_of_stores):
            store = volume.get_store(index)
            if store.has_in_volume_data():
                found.append((index, f"shadow copy of {iso(store.creation_time.replace(tzinfo=UTC))}"))
        return found
    except (OSError, ReadFailed) as error:
        raise SourceUnreadable("The volume's shadow copies are damaged and were not searched.") from error
