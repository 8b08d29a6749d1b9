"""Only free bytes, every grid position, and the failing sector costs no more than itself."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amparo.errors import ReadFailed, UsedWrongly
from amparo.evidence.carving import carve
from amparo.evidence.carving.scan import BLOCK
from tests.evidence.carving.specimens import Memory, picture, saved

JPEG = saved(picture(1), "JPEG")
SECTORS = -(-len(JPEG) // 512)


def places(content: bytes, free: list[tuple[int, int]], **options: int) -> list[int]:
    return [one.offset for one in carve(Memory(content), free, **options)]


def test_a_file_across_two_ranges_that_touch_is_found():
    content = bytes(512) + JPEG + bytes(4096)
    assert places(content, [(0, 2048), (2048, len(content) - 2048)]) == [512]


def test_a_file_that_runs_into_a_used_sector_is_not_reported():
    content = bytes(512) + JPEG + bytes(4096)
    assert places(content, [(0, 2048), (2560, len(content) - 2560)]) == []


def test_a_file_behind_a_file_that_crossed_into_the_next_range_is_found():
    content = JPEG + bytes(-len(JPEG) % 512) + JPEG
    assert places(content, [(0, 1024), (1024, len(content) - 1024)]) == [0, SECTORS * 512]


def test_candidates_begin_on_the_grid_of_their_own_range():
    content = bytes(700) + JPEG + bytes(-len(JPEG) % 512) + JPEG
    assert places(content, [(0, len(content))]) == []
    assert places(content, [(188, len(content) - 188)]) == [700, 700 + SECTORS * 512]
    assert places(content, [(0, 200), (200, len(content) - 200)]) == []
    assert places(content, [(0, 188), (188, len(content) - 188)]) == [700, 700 + SECTORS * 512]


def test_the_origin_moves_the_grid():
    content = bytes(700) + JPEG
    assert places(content, [(0, len(content))], alignment_origin=188) == [700]


def test_a_step_of_a_cluster_looks_at_clusters_only():
    content = bytes(4096) + JPEG + bytes(4096 * 5 + 512 - 4096 - len(JPEG) + len(JPEG) // 4096 * 4096)
    content += bytes(512 - len(content) % 512) + JPEG
    first, second = places(content, [(0, len(content))])
    assert first == 4096 and second % 4096
    assert places(content, [(0, len(content))], step=4096) == [4096]


def test_a_step_of_one_finds_a_file_at_any_byte():
    content = random.Random(1).randbytes(777) + JPEG + bytes(300)
    assert places(content, [(0, len(content))], step=1) == [777]


@pytest.mark.parametrize("shift", [-512, 0, 512])
def test_a_file_at_the_edge_of_a_block_is_found(shift: int):
    content = bytes(BLOCK + shift) + JPEG
    assert places(content, [(0, len(content))]) == [BLOCK + shift]


def test_a_file_longer_than_a_block_is_followed_and_the_search_goes_on_behind_it():
    big = saved(picture(2, 2000), "PNG", compress_level=0)
    assert len(big) > BLOCK
    content = big + bytes(-len(big) % 512) + JPEG
    device = Memory(content)
    results = list(carve(device, [(0, len(content))]))
    assert [(one.length, one.kind) for one in results] == [(len(big), "png"), (len(JPEG), "jpeg")]
    assert device.largest <= BLOCK + 16
    assert device.bytes_read < 2.2 * len(content)


def test_nothing_is_looked_for_past_where_the_next_ones_share_begins():
    one = JPEG + bytes(-len(JPEG) % 512)
    memory = Memory(one * 3 + bytes(3 * BLOCK))
    share = len(one) + 512  # the second begins in it, and ends in the next one's
    assert [file.offset for file in carve(memory, [(0, memory.size)], until=share)] == [0, len(one)]
    assert memory.bytes_read < 5 * len(one)


def test_ranges_past_the_device_or_over_each_other_are_read_once():
    content = bytes(1024) + JPEG
    assert places(content, [(0, 2048), (1024, 1 << 40)]) == [1024]
    assert places(content, [(len(content) + 512, 4096)]) == []
    assert places(content, [(0, 0), (512, 0)]) == []


def test_ranges_out_of_order_are_refused():
    with pytest.raises(UsedWrongly, match="ascending"):
        places(bytes(9000), [(4096, 512), (0, 512)])
    with pytest.raises(UsedWrongly, match="step"):
        places(bytes(9000), [(0, 512)], step=0)


def test_a_sector_that_cannot_be_read_costs_no_file_beside_it():
    content = JPEG + bytes(-len(JPEG) % 512 + 512) + JPEG
    told: list[tuple[int, int, str]] = []
    device = Memory(content, bad=[SECTORS])
    results = list(carve(device, [(0, len(content))], on_problem=lambda *what: told.append(what)))
    assert [one.offset for one in results] == [0, (SECTORS + 1) * 512]
    assert told == [(SECTORS * 512, 512, f"Sector {SECTORS} cannot be read; copy the disk again.")]


def test_what_the_device_knows_to_be_missing_is_asked_for_once_a_block():
    class Cut(Memory):
        asked = 0

        def read(self, offset: int, length: int) -> bytes:
            self.asked += 1
            if offset < BLOCK + 5 * 512 and offset + length > 3 * 512:
                raise ReadFailed("The second segment is missing: put it beside the others.")
            return super().read(offset, length)

        def missing_until(self, offset: int) -> int:
            return BLOCK + 5 * 512 if 3 * 512 <= offset < BLOCK + 5 * 512 else offset

    told: list[tuple[int, int]] = []
    device = Cut(bytes(BLOCK + 5 * 512) + JPEG + bytes(512))
    found = carve(device, [(0, device.size)], on_problem=lambda at, length, _: told.append((at, length)))
    assert [one.offset for one in found] == [BLOCK + 5 * 512]
    assert told == [(3 * 512, BLOCK - 3 * 512), (BLOCK, 5 * 512)] and device.asked < 60


def test_bad_sectors_side_by_side_are_told_once():
    told: list[tuple[int, int, str]] = []
    device = Memory(bytes(1 << 16), bad=range(10, 20))
    assert list(carve(device, [(0, device.size)], on_problem=lambda *what: told.append(what))) == []
    assert [(offset, length) for offset, length, _ in told] == [(5120, 5120)]


def test_a_file_with_an_unreadable_sector_inside_is_not_reported():
    assert list(carve(Memory(JPEG, bad=[3]), [(0, len(JPEG))])) == []


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_file_reported_lies_wholly_in_free_bytes(data: st.DataObject):
    total = 6 * SECTORS
    content = bytearray(total * 512)
    for _ in range(4):
        at = data.draw(st.integers(0, total - SECTORS)) * 512
        content[at : at + len(JPEG)] = JPEG
    cuts = data.draw(st.lists(st.integers(0, total * 512 // 256), max_size=9, unique=True).map(sorted))
    edges = [cut * 256 for cut in cuts]
    free = [(begin, end - begin) for begin, end in itertools.pairwise(edges) if data.draw(st.booleans())]
    is_free = bytearray(len(content))
    for offset, length in free:
        is_free[offset : offset + length] = b"\1" * length
    last = 0
    for one in carve(Memory(bytes(content)), free):
        assert all(is_free[one.offset : one.offset + one.length])
        assert one.offset >= last
        last = one.offset + one.length
