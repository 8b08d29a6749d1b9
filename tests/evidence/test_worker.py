"""What one worker reads for the work that it is given."""

from __future__ import annotations

from pathlib import Path

from amparo.evidence.source import volumes
from amparo.evidence.source.image import open_image
from amparo.evidence.worker import CarveShard, SourceSpec, Worker


def read_so_far() -> int:
    """Bytes that this process has read."""
    return int(Path("/proc/self/io").read_text().split()[1])


def test_a_share_of_free_space_is_swept_to_its_end_and_not_to_the_end_of_the_disk(tmp_path: Path) -> None:
    disk, size, share = tmp_path / "disk", 1 << 30, 16 << 20
    with disk.open("wb") as file:
        file.truncate(size)
    survey = volumes.survey(open_image(disk))
    worker = Worker(SourceSpec(disk, False, tuple(survey.volumes)))
    before = read_so_far()
    assert worker.carve(CarveShard(1, survey.volumes[0].id, [(0, size)], share)).files == []
    assert share <= read_so_far() - before < 2 * share
