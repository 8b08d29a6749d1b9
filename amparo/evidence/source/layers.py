"""What may lie between a partition and its file system: LVM, BitLocker, LUKS, volume shadow copies."""

from __future__ import annotations

from pathlib import Path

from amparo.errors import AmparoError, SourceUnreadable, UsedWrongly
from amparo.evidence.source import lvm, partitions
from amparo.evidence.source.device import Device, Window
from amparo.evidence.source.shadow_copies import ShadowDevice, shadows
from amparo.evidence.source.volumes import BITLOCKER, LUKS, LVM, NTFS, Layer, Survey, Volume, recognise

SHADOW, PARTITION = "shadow", "partition"
_DEEPEST = 4


def open_nested(source: Device, found: Survey, keys: tuple[str, ...]) -> None:
    """Open what is nested in the volumes found so far and add it; what cannot be opened becomes a problem."""
    waiting = list(found.volumes)
    while waiting:
        outer = waiting.pop(0)
        place = f"volume {outer.id}"
        try:
            device = _inside(source, outer, keys)
            nested = _nested(device, outer)
            if not nested and outer.layers and outer.filesystem is None:
                message = "It holds no file system that is known here: it was only carved."
                found.problems.append(("volumes", place, message))
        except (AmparoError, *_TROUBLE) as error:
            found.problems.append(("volumes", place, _why(error)))
            continue
        for kind, layer, label in nested:
            try:
                waiting.append(_add(found, outer, kind, layer, open_layer(device, layer, keys), label))
            except (AmparoError, *_TROUBLE) as error:
                found.problems.append(("volumes", place, _why(error)))


# What the libraries raise over hostile bytes.
_TROUBLE = (OSError, ValueError, OverflowError, MemoryError, AttributeError)


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, AmparoError) else "What is nested in it is damaged and cannot be opened."


def _nested(device: Device, outer: Volume) -> list[tuple[str, Layer, str | None]]:
    """Kind, layer and label of each volume inside this one."""
    if outer.filesystem in (BITLOCKER, LUKS):
        return [("logical", (outer.filesystem, ""), outer.label)]
    if outer.filesystem == LVM:
        return [("logical", (LVM, volume.name), volume.name) for volume in lvm.logical_volumes(device)]
    if outer.filesystem == NTFS and outer.kind != SHADOW:
        return [(SHADOW, (SHADOW, str(index)), label) for index, label in shadows(device)]
    if (
        outer.filesystem is None and outer.layers
    ):  # a virtual machine's disk in a logical volume has partitions of its own
        table, _ = partitions.partitions(device, lambda part: _recognised(device, part) is not None)
        return [(PARTITION, (PARTITION, f"{part.offset}+{part.size}"), part.label) for part in table]
    return []


def _recognised(device: Device, part: partitions.Partition) -> str | None:
    return recognise(Window(device, part.offset, part.size))


def open_layer(device: Device, layer: Layer, keys: tuple[str, ...]) -> Device:
    """The device behind one layer. Raises :class:`SourceUnreadable` where it does not open."""
    kind, which = layer
    if kind == BITLOCKER:
        from amparo.evidence.source.bitlocker import open_bitlocker

        return open_bitlocker(device, keys, tuple(_secret(key) for key in keys))
    if kind == LUKS:
        if not keys:
            raise SourceUnreadable("It is encrypted with LUKS: give its passphrase with --key.")
        from amparo.evidence.source.luks import open_luks

        return open_luks(device, tuple(_secret(key) for key in keys))
    if kind == PARTITION:
        offset, _, size = which.partition("+")
        return Window(device, int(offset), int(size))
    if kind == LVM:
        for volume in lvm.logical_volumes(device):
            if volume.name == which:
                if volume.problem:
                    raise SourceUnreadable(volume.problem)
                return lvm.LogicalDevice(device, volume)
    if kind == SHADOW:
        return ShadowDevice(device, int(which))
    raise SourceUnreadable(f"What is nested in it ({kind} {which}) was not met again.")


def _inside(source: Device, volume: Volume, keys: tuple[str, ...]) -> Device:
    inner: Device = Window(source, volume.offset, volume.size)
    if len(volume.layers) > _DEEPEST:
        raise SourceUnreadable("Volumes are nested too deep here: what lies deeper was not searched.")
    for layer in volume.layers:
        inner = open_layer(inner, layer, keys)
    return inner


def _add(found: Survey, outer: Volume, kind: str, layer: Layer, inner: Device, label: str | None) -> Volume:
    return found.add(
        kind,
        outer.offset,
        outer.size,
        filesystem=recognise(inner),
        label=label,
        parent=outer.id,
        layers=(*outer.layers, layer),
    )


def _secret(key: str) -> bytes:
    if not key.startswith("@"):
        return key.encode()
    try:
        return Path(key[1:]).read_bytes()
    except OSError as error:
        # Its name is not repeated: it may be a password that begins with @, and problems go into the package.
        raise UsedWrongly("A key file that was given with --key @FILE cannot be read: check its path.") from error


def check_keys(keys: tuple[str, ...]) -> None:
    """Raises UsedWrongly where a key file cannot be read: better before the search than at the volume that needs it."""
    for key in keys:
        _secret(key)
