"""The match service goes on: while its index is put in another's place, while a process of it dies, and until it has answered."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from amparo.known.library import Library
from amparo.known.service.keys import KeyFile
from amparo.known.service.quotas import Quotas
from amparo.known.service.refused import Refused
from tests.known.service_running import Running, digest, fingerprint, running, until, write_list

pytest.importorskip("fastapi")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("running"), "--workers", "2", "--decoders", "1") as service:
        yield service


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
    except OSError:
        return False
    return True


class Asking:
    """Several who ask all the time; what they were answered."""

    def __init__(self, service: Running, *items: dict[str, str]) -> None:
        self.failed: list[str] = []
        self.answers: list[list[bool]] = []
        self._service, self._items, self._key = service, items, service.key("match")
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]

    def _ask(self) -> None:
        headers = {"Authorization": f"Bearer {self._key}"}
        with httpx.Client(timeout=20) as client:
            while not self._ended.is_set():
                try:
                    answer = client.post(self._service.url + "/v1/match", headers=headers, json={"items": self._items})
                    if answer.status_code != 200:
                        self.failed.append(answer.text)
                    else:
                        self.answers.append([result["match"] for result in answer.json()["results"]])
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def test_lists_change_under_load_and_no_request_fails_or_sees_half_a_change(service: Running):
    # Two lists that are swapped as one file: a request sees the one or the other, never both nor neither.
    library = Library(service.index)
    (service.folder / "new").mkdir()
    versions = [service.folder / "swapped.csv", service.folder / "new" / "swapped.csv"]
    for path, numbers in zip(versions, (range(1000, 1200), range(2000, 2200)), strict=True):
        write_list(path, numbers)
    list(library.add([versions[0]]))
    ones, others = {"md5": digest("md5", 1100)}, {"md5": digest("md5", 2100)}
    key = service.key("match")
    until(lambda: all(service.ask(key, ones).json()["results"][0]["match"] for _ in range(10)))
    asked = [ones, others, {"pdq": fingerprint(1100, 2)}, {"pdq": fingerprint(2100, 2)}]
    with Asking(service, *asked) as asking:
        for turn in range(1, 7):
            list(library.add([versions[turn % 2]], replace=True))
            time.sleep(0.7)
    assert asking.failed == [] and len(asking.answers) > 50
    seen = {tuple(answer) for answer in asking.answers}
    assert seen == {(True, False, True, False), (False, True, False, True)}
    changes = service.get("/metrics", service.key("metrics")).text
    assert 'amparo_index_changes_total{outcome="opened"}' in changes and 'outcome="failed"' not in changes


def test_an_index_that_cannot_be_opened_does_not_take_the_place_of_one_that_can(service: Running):
    key, catalogue = service.key("match"), service.index / "library.json"
    before = catalogue.read_bytes()
    catalogue.write_text("{")
    try:
        until(lambda: service.get("/health/ready").status_code == 503)
        assert service.ask(key, {"md5": digest("md5", 3)}).json()["results"] == [{"match": True}]
        assert "damaged" in service.log.read_text()
    finally:
        catalogue.write_bytes(before)
    until(lambda: all(service.get("/health/ready").status_code == 200 for _ in range(6)))


def test_a_list_that_was_taken_out_is_no_longer_told(service: Running, tmp_path: Path):
    list(Library(service.index).add([write_list(tmp_path / "gone.csv", range(5000, 5010))]))
    key = service.key("match")

    def known() -> set[bool]:
        return {service.ask(key, {"md5": digest("md5", 5001)}).json()["results"][0]["match"] for _ in range(6)}

    until(lambda: known() == {True})
    Library(service.index).remove("gone.csv")
    until(lambda: known() == {False})


def test_a_process_that_dies_is_started_again_and_the_other_answers_meanwhile(service: Running):
    key = service.key("match", "metrics")
    workers = [
        int(child)
        for child in Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    ]
    assert len(workers) == 2
    counted = service.get("/metrics", key).text.count("\n")
    os.kill(workers[0], signal.SIGKILL)
    time.sleep(0.2)
    for _ in range(10):
        assert service.ask(key, {"md5": digest("md5", 3)}).status_code == 200
    until(
        lambda: len(Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()) == 2
    )
    assert service.get("/metrics", key).text.count("\n") >= counted, "what it had counted is not lost"


def test_counters_are_of_all_processes(service: Running):
    key = service.key("match", "metrics")

    def asked() -> float:
        lines = service.get("/metrics", key).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith('amparo_asked_total{kind="digest"}'))

    before = asked()
    for _ in range(20):
        service.ask(key, *[{"md5": digest("md5", 3)}] * 5)
    assert asked() - before == 100


def test_what_is_being_answered_is_answered_before_it_stops(tmp_path: Path):
    with running(tmp_path, "--workers", "2") as service:
        key = service.key("match")
        body = b'{"items": [{"md5": "%s"}]}' % digest("md5", 3).encode()
        head = (
            f"POST /v1/match HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", service.port), 20) as begun:
            begun.sendall(head.encode() + body[:9])
            time.sleep(0.3)
            service.process.send_signal(signal.SIGTERM)
            until(lambda: not is_open(service.port))
            begun.sendall(body[9:])
            answer = b""
            while more := begun.recv(1 << 16):
                answer += more
            assert b'"match": true' in answer
        assert service.process.wait(20) == 0
    assert service.log.read_text().count("\n") == 1, service.log.read_text()


def test_ctrl_c_ends_it_and_leaves_no_process_behind(tmp_path: Path):
    with running(tmp_path, "--workers", "2", "--decoders", "2") as service:
        until(
            lambda: len(service.processes()) == 11
        )  # 1 + 2 + for each of these: 2 that decode, 1 that forks them, Python's own
        processes = service.processes()
        for process in processes:  # a terminal sends it to all
            os.kill(process, signal.SIGINT)
        assert service.process.wait(20) == 0
        until(lambda: not [process for process in processes if is_alive(process)])


def test_a_leader_that_is_killed_leaves_no_process_behind(tmp_path: Path):
    with running(tmp_path, "--workers", "2", "--decoders", "2") as service:
        processes = service.processes()
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait(10)
        until(lambda: not [process for process in processes if is_alive(process)], 40)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("after", [0.0, 0.2, 0.5, 0.9])
def test_it_can_be_ended_while_it_is_still_starting(tmp_path: Path, how: signal.Signals, after: float):
    with running(tmp_path, "--workers", "2", "--decoders", "2", wait=False) as service:
        time.sleep(after)
        processes = service.processes()
        service.process.send_signal(how)
        assert service.process.wait(15) == (0 if how == signal.SIGTERM else -signal.SIGKILL)
        until(lambda: not [process for process in processes if is_alive(process)], 20)


def test_quotas_outlive_a_restart_and_are_counted_over_all_processes(tmp_path: Path):
    with running(tmp_path, "--workers", "2") as service:
        key = service.key("match", per_day=100)
        for _ in range(9):
            assert service.ask(key, *[{"md5": digest("md5", 3)}] * 10).status_code == 200
    with running(tmp_path, "--workers", "2") as service:
        assert service.ask(key, *[{"md5": digest("md5", 3)}] * 10).status_code == 200
        assert service.ask(key, {"md5": digest("md5", 3)}).json()["code"] == "quota_of_day"


def test_windows_of_a_quota_begin_anew_and_many_keys_keep_apart(tmp_path: Path):
    from amparo import clock

    file = KeyFile(tmp_path / "keys.json")
    keys = [file.make(f"{n}", ["match"], None, clock.now(), per_minute=10, per_day=25)[0] for n in range(30)]
    quotas, again = Quotas(tmp_path / "q"), Quotas(tmp_path / "q")
    noon = 86_400.0 * 20_000 + 43_200
    for key in keys:
        quotas.charge(key, 10, noon)
        with pytest.raises(Refused, match="minute"):
            again.charge(key, 1, noon + 59)
        again.charge(key, 10, noon + 60)
        quotas.charge(key, 5, noon + 120)
        with pytest.raises(Refused, match="a day"):
            quotas.charge(key, 1, noon + 180)
        again.charge(key, 10, noon + 43_200)
    shutil.copy(tmp_path / "q", tmp_path / "r")
    (tmp_path / "r").write_bytes(b"short")
    Quotas(tmp_path / "r").charge(keys[0], 10, noon)
