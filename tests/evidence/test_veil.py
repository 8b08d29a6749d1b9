"""Contents that wait in the working tables are never in clear on the disk, not even after a kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from amparo.errors import UsedWrongly
from amparo.evidence.plan import Plan
from amparo.evidence.source.entry import Entry
from amparo.evidence.source.volumes import Volume
from amparo.evidence.task import row_of, task_of
from amparo.evidence.veil import Veil
from tests.evidence.examining import examine, tables

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
SECRET = b"what lies within its own metadata"
FOLDER = Volume(0, "folder", 0, 0)


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_content_comes_back_from_the_working_tables_and_is_not_in_them_in_clear(tmp_path: Path):
    plan = Plan(tmp_path / "work.sqlite", Veil(KEY))
    plan.add_rows([row_of(FOLDER, n, Entry(f"{n}", len(c), "live", "", inline=c)) for n, c in enumerate((SECRET, b""))])
    assert SECRET not in on_disk(tmp_path) and on_disk(tmp_path)
    plan.close()
    plan = Plan(tmp_path / "work.sqlite", Veil(KEY))
    assert [task_of(row).inline for row in plan.tasks()] == [SECRET, b""]
    plan.close()


def test_a_run_is_not_resumed_with_another_signing_key(tmp_path: Path):
    Plan(tmp_path / "work.sqlite", Veil(KEY)).close()
    with pytest.raises(UsedWrongly, match="another signing key"):
        Plan(tmp_path / "work.sqlite", Veil(OTHER_KEY))


def test_equal_contents_do_not_look_equal_and_a_changed_one_is_refused():
    veil = Veil(KEY)
    covered = veil.cover(SECRET)
    assert covered != veil.cover(SECRET) and len(covered) == len(SECRET) + 28
    for at in range(len(covered)):
        with pytest.raises(ValueError, match="changed"):
            veil.uncover(covered[:at] + bytes([covered[at] ^ 1]) + covered[at + 1 :])


@pytest.mark.skipif(shutil.which("mkntfs", path="/usr/sbin:/usr/bin") is None, reason="ntfs-3g is not installed")
def test_a_run_that_is_killed_leaves_no_content_in_clear_and_is_resumed(tmp_path: Path):
    disk = tmp_path / "disk.dd"
    disk.write_bytes(bytes(16 << 20))
    subprocess.run(["/usr/sbin/mkntfs", "-q", "-F", disk], check=True, capture_output=True)
    (tmp_path / "note.txt").write_bytes(SECRET)
    for number in range(20):
        subprocess.run(
            ["ntfscp", "-q", disk, tmp_path / "note.txt", f"note{number}.txt"], check=True, capture_output=True
        )
    code = "import sys; from pathlib import Path; from tests.evidence.examining import examine; examine(*map(Path, sys.argv[1:]))"
    run = subprocess.Popen([sys.executable, "-c", code, disk, tmp_path / "out"], stderr=subprocess.DEVNULL)
    wal = tmp_path / "out" / "work.sqlite-wal"
    until = time.monotonic() + 60
    while time.monotonic() < until and run.poll() is None and not (wal.exists() and b"note7.txt" in wal.read_bytes()):
        time.sleep(0.001)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert (tmp_path / "out" / "work.sqlite").exists(), "it was killed too late"
    assert SECRET not in on_disk(tmp_path / "out")
    examine(disk, tmp_path / "out", resume=True)
    examine(disk, tmp_path / "undisturbed")
    assert tables(tmp_path / "out") == tables(tmp_path / "undisturbed")
