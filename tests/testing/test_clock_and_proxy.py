"""The kit's clock and fault proxy do what they say, and leave nothing."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.testing.clock import SettableClock, eventually, seeded
from workbench.testing.proxy import Fault, FaultProxy, free_port


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """Sends back what it gets; ends with the test."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    connection.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[:2]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def talk(address: tuple[str, int], data: bytes, timeout: float = 5) -> bytes:
    """What comes back until the other side ends, or all of it."""
    with socket.create_connection(address, timeout=timeout) as link:
        link.sendall(data)
        got = b""
        while len(got) < len(data):
            piece = link.recv(65_536)
            if not piece:
                break
            got += piece
        return got


def test_an_unharmed_connection_is_forwarded_whole(echo: tuple[str, int]) -> None:
    data = seeded().randbytes(3_000_000)
    with FaultProxy(echo) as proxy:
        with socket.create_connection(proxy.address) as link:
            sender = threading.Thread(target=link.sendall, args=(data,))
            sender.start()
            got = b""
            while len(got) < len(data):
                got += link.recv(65_536)
            sender.join()
        assert got == data
        assert (proxy.forwarded("up"), proxy.forwarded("down"), proxy.connections) == (len(data), len(data), 1)


@pytest.mark.parametrize("cut", [0, 1, 999, 100_000])
@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_cut_is_at_that_byte(echo: tuple[str, int], cut: int, direction: str) -> None:
    with FaultProxy(echo, Fault(cut_after=cut, direction=direction)) as proxy:  # type: ignore[arg-type]
        try:
            got = talk(proxy.address, b"x" * 200_000)
        except ConnectionError:
            got = None  # the end came while we were sending
        eventually(lambda: proxy.forwarded(direction) == cut)  # type: ignore[arg-type]
        if got is not None and direction == "down":
            assert len(got) == cut


def test_a_reset_is_an_error_at_the_client(echo: tuple[str, int]) -> None:
    with FaultProxy(echo, Fault(cut_after=4, how="reset")) as proxy, pytest.raises(ConnectionResetError):
        talk(proxy.address, b"12345678")


def test_half_open_says_nothing_and_stays_open(echo: tuple[str, int]) -> None:
    with FaultProxy(echo, Fault(cut_after=4, how="half_open")) as proxy, pytest.raises(TimeoutError):
        talk(proxy.address, b"12345678", timeout=0.3)


def test_rate_and_delay_take_their_time(echo: tuple[str, int]) -> None:
    with FaultProxy(echo, Fault(rate=100)) as proxy:
        started = time.monotonic()
        assert talk(proxy.address, b"x" * 40) == b"x" * 40
        assert time.monotonic() - started >= 0.3
    with FaultProxy(echo, Fault(delay=0.2)) as proxy:
        started = time.monotonic()
        assert talk(proxy.address, b"x") == b"x"
        assert time.monotonic() - started >= 0.4


def test_faults_go_by_connection_number_and_can_be_changed(echo: tuple[str, int]) -> None:
    with FaultProxy(echo, {1: Fault(cut_after=0)}) as proxy:
        assert talk(proxy.address, b"one") == b"one"
        assert cut_off(proxy.address)
        assert talk(proxy.address, b"two") == b"two"
        proxy.set(lambda number: Fault(cut_after=0))
        assert cut_off(proxy.address)


def test_cut_ends_what_is_open(echo: tuple[str, int]) -> None:
    with FaultProxy(echo) as proxy, socket.create_connection(proxy.address, timeout=5) as link:
        link.sendall(b"x")
        assert link.recv(1) == b"x"
        proxy.cut()
        assert link.recv(1) == b""


def cut_off(address: tuple[str, int]) -> bool:
    try:
        return talk(address, b"x") == b""
    except ConnectionError:
        return True


def test_nothing_is_left_when_it_is_closed(echo: tuple[str, int]) -> None:
    with FaultProxy(echo, Fault(rate=1)) as proxy:
        link = socket.create_connection(proxy.address, timeout=5)
        link.sendall(b"x" * 1000)
        eventually(lambda: proxy.forwarded("up"))
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("fault-proxy")]
    link.close()


def test_a_server_that_is_not_there_ends_the_connection() -> None:
    with FaultProxy(("127.0.0.1", free_port())) as proxy:
        assert cut_off(proxy.address)


def test_a_free_port_is_told_once_and_is_none_of_the_outgoing_ones() -> None:
    ports = [free_port() for _ in range(300)]
    assert len(set(ports)) == 300
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert low <= 22_000 or max(ports) < low
    with socket.create_server(("127.0.0.1", ports[-1])) as held:
        assert held.getsockname()[1] == ports[-1]


def test_a_clock_wakes_who_is_due_and_nobody_else() -> None:
    clock, woken = SettableClock(100), []

    def sleeper(seconds: float) -> None:
        clock.sleep(seconds)
        woken.append(seconds)

    threads = [threading.Thread(target=sleeper, args=(seconds,)) for seconds in (5, 10)]
    for thread in threads:
        thread.start()
    assert clock.wait_for_sleepers(2)
    clock.advance(5)
    threads[0].join(5)
    assert woken == [5]
    clock.advance(4)
    assert clock() == 109
    assert threads[1].is_alive()
    clock.advance(1)
    threads[1].join(5)
    assert woken == [5, 10]
    with pytest.raises(ValueError, match="set"):
        clock.advance(-1)
    clock.set(1)
    assert clock() == 1


def test_a_wait_ends_early_by_its_event() -> None:
    clock, event = SettableClock(), threading.Event()
    thread = threading.Thread(target=clock.wait, args=(1e9, event))
    thread.start()
    clock.wait_for_sleepers()
    event.set()
    thread.join(5)
    assert not thread.is_alive()


def test_chance_repeats_and_takes_its_seed_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seeded(1).random() == seeded(1).random()
    monkeypatch.setenv("WORKBENCH_SEED", "7")
    assert seeded(1).random() == seeded(2).random()
    assert "WORKBENCH_SEED=7" in repr(seeded())
