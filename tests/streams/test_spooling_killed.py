"""A webhook under load whose process is killed at any moment: what was answered with 202 is done, by the next one."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.conftest import REPOSITORY
from tests.streams.posted import KEY, topology
from tests.streams.process_help import children, gone
from tests.streams.process_parts import written
from workbench.catalog import Catalog
from workbench.runs import Register
from workbench.testing.proxy import free_port

WAIT = 120
SECRET = "geheim-7"


class Senders:
    """Four that post bodies of some rows as fast as they can, each row once, whether there is an answer or not."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self.port, self._chance = port, chance
        self.kept, self.said = list[int](), list[int]()
        self._lock, self._number, self._ending = threading.Lock(), 0, threading.Event()
        self._threads = [threading.Thread(target=self._post, daemon=True) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def _post(self) -> None:
        known: dict[str, str] = {"Authorization": f"Bearer {SECRET}"}
        link: http.client.HTTPConnection | None = None
        while not self._ending.is_set():
            with self._lock:
                first, self._number = self._number, self._number + self._chance.randrange(1, 4)
                rows = list(range(first, self._number))
            try:
                if link is None:
                    link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
                    link.connect()
                self.said += rows
                link.request("POST", "/orders", json.dumps([{"n": n} for n in rows]), known)
                answer = link.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                if link is not None:
                    link.close()
                    link = None
                self._ending.wait(0.01)
                continue
            if answer.status == 202:
                self.kept += rows
        if link is not None:
            link.close()

    def finish(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(WAIT)


@pytest.fixture
def port() -> int:
    return free_port()  # none of the outgoing ones: senders try it while nobody listens


@pytest.fixture
def senders(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Senders]:
    monkeypatch.setenv(KEY, SECRET)
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    made = Senders(port, random.Random(seed))
    yield made
    made.finish()


def killed_in_one_process(folder: Path, senders: Senders, state: str, kills: int, eventually: Any) -> Counter[int]:
    """What has arrived, and how often."""
    chance = random.Random(len(senders.said))
    command = [sys.executable, "-m", "tests.streams.posted", str(folder), str(senders.port), state]
    for kill in range(kills + 1):
        child = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            wanted = len(senders.kept) + chance.randrange(10, 150)

            def come(child: Any = child, wanted: int = wanted) -> bool:
                assert child.poll() is None, child.stderr.read()
                return len(senders.kept) >= wanted

            eventually(come, within=WAIT)
            if kill < kills:
                continue
            senders.finish()
            words, errors = child.communicate("", timeout=WAIT)
            assert child.returncode == 0, errors
            assert words.split(",")[0].strip() == "stopped", words
            assert state != "state" or "effectively once" in words
        finally:
            child.kill()
            child.communicate(timeout=WAIT)
    assert len(senders.kept) > kills * 10
    if state == "state":
        return in_the_table(folder)
    return Counter(n for rows in written(folder, "write").values() for (n,) in rows)


def in_the_table(folder: Path) -> Counter[int]:
    """And each was counted once, in the order in which they came."""
    with duckdb.connect(str(folder / "shop.duckdb"), read_only=True) as base:
        rows = base.execute("select n, number from orders order by number").fetchall()
    assert [number for _, number in rows] == list(range(1, len(rows) + 1))
    return Counter(n for n, _ in rows)


def at_least_once(senders: Senders, found: Counter[int]) -> None:
    missing = sorted(set(senders.kept) - found.keys())
    assert not missing, "they were answered with 202, and are not there"
    assert found.keys() <= set(senders.said)


def exactly_once(senders: Senders, found: Counter[int]) -> None:
    at_least_once(senders, found)
    assert {n: times for n, times in found.items() if times != 1} == {}
    print(f"{len(found) - len(senders.kept)} rows without an answer are there, too")


def test_the_process_is_killed(tmp_path: Path, senders: Senders, eventually: Any) -> None:
    at_least_once(senders, killed_in_one_process(tmp_path, senders, "", 2, eventually))
    assert not list((tmp_path / "home" / "spools").rglob("*")), "all is done, so nothing is kept"


def test_the_process_is_killed_with_state(tmp_path: Path, senders: Senders, eventually: Any) -> None:
    exactly_once(senders, killed_in_one_process(tmp_path, senders, "state", 2, eventually))


@pytest.mark.deep
@pytest.mark.parametrize("state", ["", "state"])
def test_the_process_is_killed_30_times(tmp_path: Path, senders: Senders, state: str, eventually: Any) -> None:
    found = killed_in_one_process(tmp_path, senders, state, 30, eventually)
    (exactly_once if state else at_least_once)(senders, found)


def killed_as_a_worker(
    folder: Path, senders: Senders, register: Register, state: bool, kills: int, eventually: Any
) -> Counter[int]:
    chance = random.Random(len(senders.said))
    if state:
        Catalog().connect("shop", path=str(folder / "shop.duckdb"), writable=True)
    running = topology(folder, senders.port, state).run("processes", workers=2, register=register, state=state)
    own = running._engine.pid  # type: ignore[attr-defined]
    try:
        for _ in range(kills):
            wanted = len(senders.kept) + chance.randrange(10, 150)
            eventually(lambda wanted=wanted: len(senders.kept) >= wanted, within=WAIT)
            workers = eventually(lambda: [pid for pid in children(own) if not gone(pid)], within=WAIT)
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)
        wanted = len(senders.kept) + 50
        eventually(lambda: len(senders.kept) >= wanted, within=WAIT)
        senders.finish()

        def rests() -> bool:
            metrics = running.metrics()
            found = list(metrics.now.sources.values())
            return len(found) == 1 and not found[0]["spool_rows"] and metrics.age < 0.5

        eventually(rests, within=WAIT)
        claims = {promise.claim for promise in running.guarantees().values()}
        assert claims == {"effectively once" if state else "at least once"}
        assert not any("begins anew" in str(promise) for promise in running.guarantees().values())
    finally:
        running.stop(60)
    assert running.state == "stopped", running.failure
    if state:
        return in_the_table(folder)
    return Counter(n for rows in written(folder, "write").values() for (n,) in rows)


def test_its_worker_is_killed(tmp_path: Path, senders: Senders, register: Register, eventually: Any) -> None:
    at_least_once(senders, killed_as_a_worker(tmp_path, senders, register, False, 3, eventually))
    assert not list((tmp_path / "home" / "spools").rglob("*")), "all is done, so nothing is kept"


def test_its_worker_is_killed_with_state(tmp_path: Path, senders: Senders, register: Register, eventually: Any) -> None:
    exactly_once(senders, killed_as_a_worker(tmp_path, senders, register, True, 2, eventually))


@pytest.mark.deep
@pytest.mark.parametrize("state", [False, True])
def test_its_worker_is_killed_30_times(
    tmp_path: Path, senders: Senders, register: Register, state: bool, eventually: Any
) -> None:
    found = killed_as_a_worker(tmp_path, senders, register, state, 30, eventually)
    (exactly_once if state else at_least_once)(senders, found)
