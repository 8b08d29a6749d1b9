"""The acceptance scripts, where they are at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"
SCRIPT, IMAGES = SHARED / "accept/search_images.py", SHARED / "fixtures/small_images"


@pytest.mark.conformance
@pytest.mark.skipif(not SCRIPT.exists(), reason="the acceptance scripts are not part of this repository")
def test_every_small_image_holds_against_its_truth(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("amparo")
    environment = {**os.environ, "AMPARO_KEY": str(tmp_path / "seal-key.pem")}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(command), str(IMAGES)],
        env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("holds") == len(list(IMAGES.glob("small_*")))
