"""What may lie between a partition and its file system: LVM, BitLocker, LUKS, volume shadow copies."""

from __future__ import annotations

from amparo.errors import SourceUnreadable
from amparo.evidence.source.device import Device
from amparo.evidence.source.volumes import CONTAINERS, Layer, Survey


def open_nested(device: Device, found: Survey, keys: tuple[str, ...]) -> None:
    """Open what is nested in the volumes found so far and add it; what cannot be opened becomes a problem."""
    for volume in list(found.volumes):
        if volume.filesystem in CONTAINERS:
            message = f"The {volume.filesystem} volume cannot be opened: give its key with --key."
            found.problems.append(("volumes", f"volume {volume.id}", message))


def open_layer(device: Device, layer: Layer, keys: tuple[str, ...]) -> Device:
    """The device behind one layer. Raises :class:`SourceUnreadable` where it does not open."""
    raise SourceUnreadable(f"The layer {layer[0]} cannot be opened.")
