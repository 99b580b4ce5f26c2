"""What one process publishes, another one sees; who does not know the token sees nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.contract.errors import ConnectionLost, ProtocolError, SourceError, Unreachable, UsageError
from workbench.runs import Register
from workbench.runs.publisher import KNOCKING, Elsewhere, Publisher
from workbench.runs.register import Engine
from workbench.runs.subscriber import ask, frames
from workbench.runs.topics import Frame


@pytest.fixture
def register(tmp_path: Path) -> Iterator[Register]:
    register = Register(tmp_path / "runs.db")
    yield register
    register.close()


@pytest.fixture
def publisher(register: Register) -> Iterator[Publisher]:
    publisher = Publisher(register)
    publisher.open()
    yield publisher
    publisher.close()


@pytest.fixture
def engine(register: Register, publisher: Publisher) -> Engine:
    found = register.engine(register.begin("query", "q").id)
    assert found is not None
    return found


async def _all(engine: Engine, topic: str, most: int = 1_000) -> list[Frame]:
    seen: list[Frame] = []
    async with contextlib.aclosing(frames(engine, topic)) as coming:
        async for frame in coming:
            seen.append(frame)
            if len(seen) == most:
                break
    return seen


def test_another_process_sees_a_topic_to_its_end(register: Register) -> None:
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib\n"
            "from workbench.runs import Register\n"
            "from workbench.runs.publisher import KNOCKING, Publisher\n"
            "register = Register(pathlib.Path(sys.argv[1]))\n"
            "run, publisher = register.begin('query', 'q'), Publisher(register)\n"
            "topic = publisher.topic('t', {'rows': 0})\n"
            "publisher.open(); print(run.id, flush=True)\n"
            "for line in sys.stdin: topic.change(rows=int(line))\n"
            "topic.end(); sys.stdin.close(); import time; time.sleep(10)\n",
            str(register.path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    engine = register.engine(child.stdout.readline().strip())
    assert engine is not None
    assert engine.pid == child.pid

    async def watch() -> list[Frame]:
        seen: list[Frame] = []
        assert child.stdin is not None
        async for frame in frames(engine, "t"):
            seen.append(frame)
            if len(seen) <= 3:
                child.stdin.write(f"{len(seen)}\n")
                child.stdin.flush()
            elif not child.stdin.closed:
                child.stdin.close()
        return seen

    with child.stdout:
        try:
            seen = asyncio.run(asyncio.wait_for(watch(), 20))
        finally:
            child.kill()
            child.wait(10)
    assert seen[0] == {"topic": "t", "number": 0, "snapshot": {"rows": 0}}
    assert [frame["change"] for frame in seen[1:4]] == [{"rows": 1}, {"rows": 2}, {"rows": 3}]
    assert seen[4:] == [{"topic": "t", "number": 3, "end": True}]


def test_the_end_of_a_process_is_no_end_of_a_topic(publisher: Publisher, engine: Engine) -> None:
    publisher.topic("t", {})
    assert len(asyncio.run(_all(engine, "t", 1))) == 1

    async def watch() -> None:
        async for _ in frames(engine, "t"):
            publisher._topics.clear()  # not ended: as if the process were killed
            publisher.close()

    with pytest.raises(ConnectionLost):
        asyncio.run(asyncio.wait_for(watch(), 10))
    with pytest.raises(Unreachable, match=f"process {engine.pid}"):
        asyncio.run(_all(engine, "t"))


def test_who_comes_late_gets_the_last_state_and_the_end(publisher: Publisher, engine: Engine) -> None:
    topic = publisher.topic("t", {"rows": 0})
    topic.change(rows=7)
    topic.end()
    assert [set(frame) - {"topic", "number"} for frame in asyncio.run(_all(engine, "t"))] == [{"snapshot"}, {"end"}]


def test_a_topic_that_is_not_there_is_refused_by_name(engine: Engine) -> None:
    with pytest.raises(ProtocolError, match="no topic `nope`"):
        asyncio.run(_all(engine, "nope"))


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b'{"token": "", "topic": "t"}\n',
        b'{"token": "' + b"0" * 32 + b'", "topic": "t"}\n',
        b'{"token": ["x"], "topic": null}\n',
        b"[" * 3_000 + b"\n",
        b"x" * 10_000,
        b'{"topic": "t"}\n',
        b"\xff\xfe\n",
        b"7\n",
    ],
)
def test_who_does_not_know_the_token_gets_nothing(publisher: Publisher, engine: Engine, said: bytes) -> None:
    publisher.topic("t", {"rows": 1})
    host, _, port = engine.address.rpartition(":")
    with socket.create_connection((host, int(port)), 5) as link:
        link.sendall(said)
        link.shutdown(socket.SHUT_WR)
        assert link.recv(100) == b""
    assert len(asyncio.run(_all(engine, "t", 1))) == 1


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"x\n",
        b"[]\n",
        b'{"topic": "other", "number": 1}\n',
        b'{"error": "no"}\n',
        b"x" * 2_000_000,
        b'{"topic": "t", "number": 1, "change": []}\n',
        b'{"topic": "t", "number": 1, "append": {"a": 1}}\n',
    ],
)
def test_an_engine_that_lies_is_a_typed_error(said: bytes) -> None:
    async def watch() -> None:
        lied = asyncio.Event()

        async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(said)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            lied.set()

        server = await asyncio.start_server(lie, "127.0.0.1", 0)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            try:
                async for _ in frames(Engine(1, address, "t"), "t"):
                    pass
            finally:
                await lied.wait()

    with pytest.raises((ConnectionLost, ProtocolError)):
        asyncio.run(asyncio.wait_for(watch(), 10))


def test_all_who_publish_in_a_process_share_one_socket(register: Register) -> None:
    first, second = Publisher.of(register), Publisher.of(register)
    other = Register(register.path)
    third = Publisher.of(other)
    assert first is second is third
    first.topic("a", {"rows": 1})
    first.open()
    engine = register.engine(register.begin("query", "q").id)
    assert engine is not None
    second.release()
    third.release()
    other.close()
    assert len(asyncio.run(_all(engine, "a", 1))) == 1
    first.release()
    with pytest.raises(SourceError):  # who comes just now may still be told that the topic is not there
        asyncio.run(_all(engine, "a", 1))
    again = Publisher.of(register)
    assert again is not first
    again.release()


def test_a_run_is_asked_for_something_and_says_what_it_does_not_do(publisher: Publisher, engine: Engine) -> None:
    asked: list[str] = []

    def do(what: str) -> None:
        if what == "fly":
            raise UsageError("It cannot fly.")
        asked.append(what)

    publisher.control("r", do)
    asyncio.run(ask(engine, "r", "pause"))
    assert asked == ["pause"]
    with pytest.raises(ProtocolError, match=r"It cannot fly\.$"):
        asyncio.run(ask(engine, "r", "fly"))
    publisher.control("r", None)
    with pytest.raises(ProtocolError, match="nothing can be asked of run `r`"):
        asyncio.run(ask(engine, "r", "pause"))
    with pytest.raises(ConnectionLost):
        asyncio.run(ask(Engine(engine.pid, engine.address, "0" * 32), "r", "pause"))
    assert asked == ["pause"]


def test_an_engine_sends_who_asks_on_to_another_one_of_the_same_token_and_this_machine(
    tmp_path: Path, publisher: Publisher, engine: Engine
) -> None:
    register = Register(tmp_path / "other.db")
    other = Publisher.of(register, publisher.token)
    other.open()
    try:
        publisher.control("r", lambda what: Elsewhere(other.address))
        other.control("r", lambda what: f"next of {what}")
        assert asyncio.run(ask(engine, "r", "replay")) == "next of replay"
        other.control("r", lambda what: Elsewhere(publisher.address))
        with pytest.raises(ProtocolError, match="which is not asked"):
            asyncio.run(ask(engine, "r", "replay"))  # not on and on
        publisher.control("r", lambda what: Elsewhere("192.0.2.1:80"))
        with pytest.raises(ProtocolError, match=r"192\.0\.2\.1:80, which is not asked"):
            asyncio.run(ask(engine, "r", "replay"))
    finally:
        other.release()
        register.close()


def test_who_only_knocks_keeps_nobody_out(publisher: Publisher, engine: Engine) -> None:
    publisher.topic("t", {"rows": 1})
    host, _, port = engine.address.rpartition(":")
    with contextlib.ExitStack() as held:
        for _ in range(KNOCKING - 1):
            held.enter_context(socket.create_connection((host, int(port)), 5))
        assert len(asyncio.run(_all(engine, "t", 1))) == 1


def test_the_token_is_in_no_text(engine: Engine) -> None:
    assert engine.token not in repr(engine)
    assert json.dumps(engine.address) == f'"{engine.address}"'


def test_engines_of_dead_processes_are_forgotten(register: Register, publisher: Publisher) -> None:
    with register._store.writing() as db:
        db.execute("insert into engines values (1, 'long ago', ?, '127.0.0.1:1', 'x')", (_host(),))
    other = Publisher(register)
    other.open()
    other.close()
    with register._store.reading() as db:
        assert db.execute("select count(*) from engines where address = '127.0.0.1:1'").fetchone() == (0,)


def _host() -> str:
    from workbench.runs.process import Process

    return Process.current().host
