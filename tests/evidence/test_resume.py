"""A run that is killed at any moment goes on, and ends with the tables of one that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyrage
import pytest

from amparo.errors import UsedWrongly
from amparo.evidence import package
from tests.evidence.examining import examine, rows, tables, write_disk, write_list, write_order


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the disk, its list, a key, the command to search it, and the package of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_disk(folder)
    write_list(folder)
    write_order(folder)
    (folder / "recipient").write_text(str(pyrage.x25519.Identity.generate().to_public()))
    assert _search(folder, folder / "package").wait() in (0, 5)
    return folder


def _search(folder: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "amparo.cli", "search", str(folder / "disk.img"), "--order", str(folder / "order.toml"),
        "--known", str(folder / "known.csv"), "--recipient", (folder / "recipient").read_text(), "--gather", "*.txt",
        "--no-pdf", "--source-digest", "once", "--out", str(out), *more,
    ]  # fmt: skip
    environment = {**os.environ, "AMPARO_KEY": str(folder / "seal-key.pem")}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _same(one: Path, other: Path) -> None:
    ours, theirs = tables(one), tables(other)
    for table in ours:
        assert ours[table] == theirs[table], table


def test_killed_again_and_again_it_ends_with_the_same_tables(undisturbed: Path, tmp_path: Path) -> None:
    chance = random.Random(20261124)
    out = tmp_path / "package"
    kills = 0
    for _ in range(25):
        process = _search(undisturbed, out, *(["--resume"] if out.exists() else []))
        time.sleep(chance.uniform(0.2, 0.6) if not kills else chance.uniform(0.2, 1.6))
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    else:
        assert _search(undisturbed, out, "--resume").wait() in (0, 5)
    assert kills, "the run was quicker than the first kill: nothing was tested"
    _same(out, undisturbed / "package")
    assert all(finding.ok for finding in package.verify(out))
    assert not [path.name for path in out.iterdir() if path.name.startswith("work")]


def test_killed_in_each_stage_it_ends_with_the_same_tables(undisturbed: Path, tmp_path: Path) -> None:
    for stage in ("survey", "list", "read", "carve", "decode", "gather", "sealing"):
        out = tmp_path / stage
        process = subprocess.run(
            [sys.executable, "-c", _STOP_AT, stage, str(undisturbed), str(out)], capture_output=True, text=True
        )
        assert process.returncode == -signal.SIGKILL, process.stderr
        assert _search(undisturbed, out, "--resume").wait() in (0, 5)
        _same(out, undisturbed / "package")
        assert all(finding.ok for finding in package.verify(out)), stage


_STOP_AT = """
import os, signal, sys
from pathlib import Path
from amparo.evidence import report, search
from amparo import cli, terminal
stage, folder, out = sys.argv[1], Path(sys.argv[2]), sys.argv[3]

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

state = {"current": "", "seen": 0}

def begin(self, name, files, size):
    state.update(current=name, seen=0)
    if name == stage == "survey":
        die()

def advance(self, files, size):
    state["seen"] += 1
    if state["current"] == stage and state["seen"] >= (1 if stage in ("list", "carve", "decode") else 5):
        die()

terminal.Terminal.stage, terminal.Terminal.advance = begin, advance
search.UNITS_A_COMMIT = 3
if stage == "sealing":
    report.write_report = die
os.environ["AMPARO_KEY"] = str(folder / "seal-key.pem")
cli.main(["search", str(folder / "disk.img"), "--order", str(folder / "order.toml"), "--known", str(folder / "known.csv"),
          "--recipient", (folder / "recipient").read_text(), "--gather", "*.txt", "--no-pdf", "--source-digest", "once", "--out", out])
"""


def test_a_resumed_run_says_that_it_was_interrupted(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "package"
    subprocess.run([sys.executable, "-c", _STOP_AT, "read", str(undisturbed), str(out)], capture_output=True)
    assert _search(undisturbed, out, "--resume").wait() in (0, 5)
    [(interrupted,)] = rows(out, "select value from run where key = 'interrupted'")
    assert interrupted != "[]"


def test_resuming_with_another_source_or_other_options_is_refused(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "package"
    subprocess.run([sys.executable, "-c", _STOP_AT, "read", str(undisturbed), str(out)], capture_output=True)
    other = tmp_path / "other"
    other.mkdir()
    key = {"key": undisturbed / "seal-key.pem"}
    (tmp_path / "order.toml").write_bytes((undisturbed / "order.toml").read_bytes())
    with pytest.raises(UsedWrongly, match="not the one that this run began with"):
        examine(other, out, resume=True, **key)
    with pytest.raises(UsedWrongly, match="options"):
        examine(undisturbed / "disk.img", out, resume=True, options={"carve": False}, **key)


def test_a_finished_package_is_not_begun_again(undisturbed: Path) -> None:
    before = (undisturbed / "package/seal.json").read_bytes()
    assert _search(undisturbed, undisturbed / "package").wait() == 2
    assert _search(undisturbed, undisturbed / "package", "--resume").wait() == 2
    assert (undisturbed / "package/seal.json").read_bytes() == before
