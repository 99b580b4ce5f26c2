"""The viewer's HTTP server when strangers open connections without end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tornado import web

from workbench.server import bounded
from workbench.server.bounded import BoundedServer, is_known


class Page(web.RequestHandler):
    """`/known` is asked by who has logged in; it and `/slow` end when the gate opens."""

    async def get(self, name: str) -> None:
        if name == "known":
            is_known(self.request)
        if name in ("known", "slow"):
            await self.application.settings["gate"].wait()
        self.finish(name)


class Crowd:
    def __init__(self, port: int, gate: asyncio.Event, server: BoundedServer) -> None:
        self.port, self.gate, self.server = port, gate, server
        self.links: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def come(self, said: bytes = b"") -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(said)
        await writer.drain()
        self.links.append((reader, writer))
        return reader

    async def ask(self, name: str) -> asyncio.StreamReader:
        return await self.come(f"GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not what():
                await asyncio.sleep(0.01)

    def busy(self) -> int:
        return sum(one.busy for one in self.server._open.values())


@contextlib.asynccontextmanager
async def crowd(most: int, **options: Any) -> AsyncIterator[Crowd]:
    gate = asyncio.Event()
    server = BoundedServer(web.Application([(r"/(\w+)", Page)], gate=gate), **options)
    server.most = most
    server.listen(0, "127.0.0.1")
    port = next(iter(server._sockets.values())).getsockname()[1]
    made = Crowd(port, gate, server)
    try:
        yield made
    finally:
        server.stop()
        for _, writer in made.links:
            writer.close()
        await server.close_all_connections()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(120):
            await work()

    asyncio.run(main())


async def answered(reader: asyncio.StreamReader, name: str) -> bool:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        return (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200") and bool(
            await reader.readexactly(len(name))
        )
    return False


def test_strangers_keep_nobody_out_and_cut_nobody_off() -> None:
    async def work() -> None:
        async with crowd(20) as made:
            known = [await made.ask("known") for _ in range(5)]
            await made.until(lambda: made.busy() == 5)
            for _ in range(60):
                await made.come()  # says nothing
                await made.come(b"GET /a HTTP/1.1\r\nX: ")  # says no end
                await made.come(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1")
            for _ in range(60):
                await made.ask("slow")  # asks, and waits
            assert await answered(await made.ask("quick"), "quick")
            assert len(made.server._open) <= 20
            assert len(made.server._connections) <= 25  # some go a turn later
            made.gate.set()
            for reader in known:
                assert await answered(reader, "known")

    run(work)


def test_where_all_are_known_the_next_one_is_turned_away() -> None:
    async def work() -> None:
        async with crowd(3) as made:
            known = [await made.ask("known") for _ in range(3)]
            await made.until(lambda: made.busy() == 3)
            assert not await answered(await made.ask("quick"), "quick")
            made.gate.set()
            for reader in known:
                assert await answered(reader, "known")
            assert await answered(await made.ask("quick"), "quick")  # a page that has its answer waits for none

    run(work)


def test_who_says_nothing_is_let_go_and_so_is_a_large_body() -> None:
    async def work() -> None:
        async with crowd(20, idle_connection_timeout=0.2, body_timeout=0.2, max_body_size=1_000) as made:
            for said in (b"", b"GET /a HTTP/1.1\r\nX: ", b"POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\n1",
                         b"POST /a HTTP/1.1\r\nContent-Length: 1001\r\n\r\n" + b"1" * 1_001):  # fmt: skip
                with contextlib.suppress(ConnectionResetError):
                    assert b"200" not in await (await made.come(said)).read()
            await made.until(lambda: not made.server._connections and not made.server._open)

    run(work)


def test_there_is_room_within_what_the_process_may_open(monkeypatch: Any) -> None:
    import resource

    for files, there in ((1_024, 341), (20, 16), (1 << 20, 1_500), (resource.RLIM_INFINITY, 1_500)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        assert bounded.room() == there
