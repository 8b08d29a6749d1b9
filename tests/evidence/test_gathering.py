"""Gathering: what was gathered opens with the right key, never lies in clear, and is there whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amparo.errors import ReadFailed, UsedWrongly
from amparo.evidence.gathering import gather, parse_recipient

ANA, RUI = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
KEYS = [str(ANA.to_public())]
CONTENT = b"A generated text, nothing else. " * 5000


def test_age_opens_what_was_gathered(tmp_path: Path):
    (tmp_path / "key").write_text(str(RUI) + "\n")
    done = gather([CONTENT[:7], b"", CONTENT[7:]], [*KEYS, str(RUI.to_public())], tmp_path)
    opened = subprocess.run(["age", "-d", "-i", "key", done.name], cwd=tmp_path, capture_output=True, check=True)
    assert opened.stdout == CONTENT
    assert done == (f"{hashlib.sha256(CONTENT).hexdigest()}.age", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.binary(max_size=300) | st.integers(0, 200_000).map(lambda size: b"z" * size), max_size=5))
def test_however_a_content_is_cut_into_pieces_it_is_the_same(tmp_path: Path, pieces: list[bytes]):
    done = gather(iter(pieces), KEYS, tmp_path)
    whole = b"".join(pieces)
    assert pyrage.decrypt((tmp_path / done.name).read_bytes(), [ANA]) == whole
    assert (done.size, done.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())


def test_the_same_content_is_gathered_once(tmp_path: Path):
    first = gather([CONTENT], KEYS, tmp_path)
    before = (tmp_path / first.name).read_bytes()
    assert gather([CONTENT], KEYS, tmp_path) == first
    assert [path.name for path in tmp_path.iterdir()] == [first.name]
    assert (tmp_path / first.name).read_bytes() == before


def test_nothing_of_the_content_lies_on_the_disk_in_clear_meanwhile(tmp_path: Path):
    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield CONTENT
            for path in tmp_path.iterdir():
                assert CONTENT[:24] not in path.read_bytes()

    gather(pieces(), KEYS, tmp_path)


def test_a_source_that_fails_leaves_nothing_and_says_its_own_error(tmp_path: Path):
    def pieces() -> Iterator[bytes]:
        yield CONTENT
        raise ReadFailed("The sectors from 12 on cannot be read.")

    with pytest.raises(ReadFailed, match="sectors from 12"):
        gather(pieces(), KEYS, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_stopped_run_leaves_nothing(tmp_path: Path):
    def pieces() -> Iterator[bytes]:
        yield CONTENT
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gather(pieces(), KEYS, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing_and_is_named(tmp_path: Path):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limit[1]))
    try:
        with pytest.raises(OSError) as raised:
            gather((CONTENT for _ in range(100)), KEYS, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert raised.value.errno == errno.EFBIG
    assert not list(tmp_path.iterdir())


def test_a_large_content_needs_little_memory(tmp_path: Path):
    code = f"""
import resource, sys
from pathlib import Path
from amparo.evidence.gathering import gather
zeros = bytes(1 << 20)
gather([zeros], {KEYS!r}, Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
gather((zeros for _ in range(192)), {KEYS!r}, Path(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    import sys

    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 16 << 10  # KiB


def test_nothing_is_gathered_without_a_recipient(tmp_path: Path):
    with pytest.raises(UsedWrongly, match="never written in clear"):
        gather([CONTENT], [], tmp_path)


def test_a_public_key_is_a_recipient():
    assert parse_recipient(f"  {KEYS[0]}\n") == tuple(KEYS)


def test_a_file_of_keys_names_recipients_each_once(tmp_path: Path):
    file = tmp_path / "recipients.txt"
    rui = str(RUI.to_public())
    file.write_text(f"\ufeff# the prosecutor\r\n{KEYS[0]}\r\n\r\n{rui}\n{KEYS[0]}\n", "utf-8")
    assert parse_recipient(str(file)) == (KEYS[0], rui)


def test_a_private_key_is_refused_and_never_repeated(tmp_path: Path):
    file = tmp_path / "key.txt"
    file.write_text(f"# public key: {KEYS[0]}\n{ANA}\n")
    secret = str(ANA)
    for given_ in (secret, secret.lower(), f" x{secret}", secret[:40], str(file)):
        with pytest.raises(UsedWrongly, match="private key") as raised:
            parse_recipient(given_)
        assert secret[20:36].lower() not in str(raised.value).lower()


@pytest.mark.parametrize("text", ["", "1QQPQYSZ" * 9, "ssh-ed25519 AAAA", "/no/such/file", "a\0b", "x" * 100_000, "."])
def test_what_is_neither_key_nor_file_is_refused_without_being_repeated(text: str):
    with pytest.raises(UsedWrongly, match="neither") as raised:
        parse_recipient(text)
    assert len(text) < 8 or text not in str(raised.value)


def test_a_mistyped_key_is_named_with_its_place(tmp_path: Path):
    file = tmp_path / "recipients.txt"
    file.write_text(f"{KEYS[0]}\n{KEYS[0][:-1]}{'p' if KEYS[0][-1] == 'q' else 'q'}\n")
    with pytest.raises(UsedWrongly, match=r"line 2 of recipients\.txt"):
        parse_recipient(str(file))
    with pytest.raises(UsedWrongly, match="age1zzz"):
        parse_recipient("age1zzz")


def test_a_file_without_keys_or_far_too_large_is_refused(tmp_path: Path):
    (tmp_path / "empty").write_text("# nobody\n")
    with pytest.raises(UsedWrongly, match="names no recipient"):
        parse_recipient(str(tmp_path / "empty"))
    (tmp_path / "large").write_bytes(b"")
    os.truncate(tmp_path / "large", 1 << 40)
    with pytest.raises(UsedWrongly, match="too large"):
        parse_recipient(str(tmp_path / "large"))
