"""A bad network and a wrong log-in: all rows or a typed error, never fewer, and never for ever."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
import pytest

from workbench.contract import Capabilities, ConnectionConfig, Connector, ScanRequest, TableRef
from workbench.contract.errors import AuthenticationFailed, Cancelled, SourceError, Unreachable, WorkbenchError
from workbench.testing.clock import eventually, seeded
from workbench.testing.control import RecordingControl
from workbench.testing.proxy import Fault, FaultProxy, free_port
from workbench.testing.scanning import assert_no_secret, read_split, tables_of
from workbench.testing.store import Store
from workbench.testing.suite_base import SuiteBase, numbers
from workbench.testing.suite_readers import GONE, Reading

__all__ = ["NetworkPromises"]

_ROWS = 3000


class NetworkPromises(SuiteBase):
    @pytest.fixture(scope="class")
    @classmethod
    def wire(cls, store: Store, can: Capabilities) -> tuple[str, int]:
        address = store.address()
        if address is None or not can.tables:
            pytest.skip("there is no wire to cut")
        return address

    @pytest.fixture(scope="class")
    @classmethod
    def small(cls, store: Store, wire: tuple[str, int]) -> TableRef:
        return store.load("wbt_small", numbers(_ROWS), ("id",))

    def test_nobody_listening_is_unreachable(self, store: Store, wire: tuple[str, int]) -> None:
        config = store.through("127.0.0.1", free_port())
        connector = store.manifest.open(config)
        for ask in (connector.test, tables_of(connector).list):
            with pytest.raises(Unreachable) as caught:
                ask()
            assert_no_secret(config, caught.value)
        connector.close()

    def test_a_wrong_secret_does_not_log_in_and_is_not_repeated(self, store: Store) -> None:
        config = store.wrong_secret()
        if config is None:
            pytest.skip("there is nothing to log in with")
        connector = store.manifest.open(config)
        with pytest.raises(AuthenticationFailed) as caught:
            connector.test()
        assert_no_secret(config, caught.value)
        connector.close()

    def test_a_slow_network_is_only_slow(self, store: Store, wire: tuple[str, int], small: TableRef) -> None:
        with FaultProxy(wire, Fault(delay=0.005)) as proxy:
            assert counted(store, store.through(*proxy.address), small) == _ROWS

    @pytest.mark.timeout(600)
    def test_a_hundred_cuts_lose_no_row_silently(self, store: Store, wire: tuple[str, int], small: TableRef) -> None:
        chance = seeded()
        with FaultProxy(wire) as proxy:
            assert counted(store, store.through(*proxy.address), small) == _ROWS
            total = proxy.forwarded("down")
        outcomes = {"whole": 0, "error": 0}
        for number in range(100):
            at = chance.randrange(total + total // 20)
            how: Literal["close", "reset"] = "reset" if chance.random() < 0.5 else "close"
            with FaultProxy(wire, Fault(cut_after=at, how=how)) as proxy:
                config = store.through(*proxy.address)
                about = f"cut {number} of {chance!r}: {how} after {at} of {total} bytes"
                try:
                    got = counted(store, config, small)
                except SourceError as error:
                    assert_no_secret(config, error)
                    outcomes["error"] += 1
                except Exception as error:
                    raise AssertionError(f"{about}: not a SourceError: {error!r}") from error
                else:
                    assert got == _ROWS, f"{about}: {got} rows instead of {_ROWS}, and no error"
                    outcomes["whole"] += 1
        assert outcomes["error"] > 50, outcomes

    def test_a_silent_network_can_be_given_up(
        self, store: Store, wire: tuple[str, int], many: tuple[TableRef, pa.Table]
    ) -> None:
        with FaultProxy(wire) as proxy:
            connector = store.manifest.open(store.through(*proxy.address))
            split = tables_of(connector).plan(ScanRequest(many[0], ("id", "v", "t"))).splits[-1]
            before = proxy.forwarded("down")
            proxy.set(Fault(cut_after=before // max(1, proxy.connections) + 2000, how="half_open"))
            control = RecordingControl()
            reading = Reading(connector, split, control)
            reading.start()
            control.wait_running(2)
            control.cancel()
            eventually(lambda: not reading.is_alive(), GONE, "the reader was let go though nothing answers")
            assert reading.outcome is None or isinstance(reading.outcome, Cancelled | SourceError)
            closing = Closing(connector)
            eventually(closing.done, 10, "closing came to an end")

    def test_a_connection_that_was_idle_and_cut_is_replaced(
        self, store: Store, wire: tuple[str, int], small: TableRef
    ) -> None:
        with FaultProxy(wire) as proxy:
            connector = store.manifest.open(store.through(*proxy.address))
            assert rows_through(connector, small) == _ROWS
            proxy.cut()
            try:
                again = rows_through(connector, small)
            except SourceError:
                again = rows_through(connector, small)
            assert again == _ROWS
            connector.close()

    def test_a_refused_guess_is_typed(self, store: Store, wire: tuple[str, int], small: TableRef) -> None:
        """A server that ends each connection before it says a word."""
        with FaultProxy(wire, Fault(cut_after=0)) as proxy:
            connector = store.manifest.open(store.through(*proxy.address))
            with pytest.raises(WorkbenchError) as caught:
                connector.test()
            assert isinstance(caught.value, SourceError)
            connector.close()


class Closing:
    """Closes a connector in a thread."""

    def __init__(self, connector: Connector) -> None:
        import threading

        self._thread = threading.Thread(target=connector.close, daemon=True)
        self._thread.start()

    def done(self) -> bool:
        return not self._thread.is_alive()


def counted(store: Store, config: ConnectionConfig, ref: TableRef) -> int:
    connector = store.manifest.open(config)
    try:
        return rows_through(connector, ref)
    finally:
        connector.close()


def rows_through(connector: Connector, ref: TableRef) -> int:
    plan = tables_of(connector).plan(ScanRequest(ref, ("id", "v", "t")))
    return sum(read_split(connector, split).num_rows for split in plan.splits)
