"""What must not be kept: keys of encrypted volumes, and the memory of the process that holds the signing key."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import pytest

from amparo import cli
from amparo.errors import UsedWrongly
from amparo.evidence.source.layers import check_keys
from tests.evidence.examining import examine
from tests.evidence.source.disks import encrypted

PASSWORD, WRONG = "correct horse 8271", "wrong horse 1933"


def kept(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.skipif(shutil.which("cryptsetup", path="/usr/sbin:/usr/bin:/sbin") is None, reason="no cryptsetup here")
def test_no_key_that_was_typed_is_in_the_package(tmp_path: Path):
    disk = encrypted.luks(tmp_path / "disk.luks", bytes(1 << 20), PASSWORD, *encrypted.CHEAP["luks1"])
    (tmp_path / "key").write_text(PASSWORD)
    for number, keys in enumerate([(WRONG, PASSWORD), (WRONG, f"@{tmp_path / 'key'}"), (WRONG,)]):
        out = tmp_path / f"out{number}"
        examine(disk, out, options={"keys": keys})
        assert not [text for text in (PASSWORD, WRONG) if text.encode() in kept(out)]
        assert (b"No key" in kept(out)) == (keys == (WRONG,))


def test_a_key_file_that_cannot_be_read_is_told_before_anything_is_written_and_never_repeated(tmp_path: Path):
    (tmp_path / "source").mkdir()
    with pytest.raises(UsedWrongly, match="cannot be read") as raised:
        examine(tmp_path / "source", tmp_path / "out", options={"keys": ("@hunter2",)})
    assert "hunter2" not in str(raised.value) and not (tmp_path / "out").exists()
    check_keys((PASSWORD, "@/dev/null"))


def test_the_command_leaves_no_core_dump(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    before = resource.getrlimit(resource.RLIMIT_CORE)
    cli.main(["verify", str(tmp_path)])
    capsys.readouterr()
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, before[1])
