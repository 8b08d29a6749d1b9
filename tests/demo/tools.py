"""Other people's programs, asked what they see on a disk; a test skips where one is not installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from amparo.evidence.source.entry import Entry


class Memory:
    """A device over bytes."""

    def __init__(self, content: bytes | bytearray) -> None:
        self.content, self.size = bytes(content), len(content)

    def read(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]

    def close(self) -> None:
        """Nothing is open."""

    def content_of(self, entry: Entry) -> bytes:
        if entry.inline is not None:
            return entry.inline
        return b"".join(self.content[at : at + length] for at, length in entry.runs or [])


def ask(*command: str | Path) -> bytes:
    """What the program prints; it must end well."""
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run([str(word) for word in command], check=True, capture_output=True).stdout


def fls(image: Path) -> dict[str, tuple[str, bool]]:
    """Every file that The Sleuth Kit lists: its address and whether it is deleted, by its path."""
    found = {}
    for line in ask("fls", "-r", "-p", image).decode().splitlines():
        match = re.fullmatch(r"[-rv]/[-rv] (\* )?([\d-]+)(?:\(realloc\))?:\t(.*)", line)
        if match:
            found[match[3]] = (match[2], bool(match[1]))
    return found
