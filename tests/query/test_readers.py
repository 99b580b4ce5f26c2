"""What is kept of results that are read, and how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from workbench.contract.errors import UnknownResult
from workbench.execution.shared import Shared
from workbench.execution.spool import Spool
from workbench.query import readers as module
from workbench.query.readers import Readers


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    table = pa.table({"n": range(1_000)})
    with Spool(tmp_path / "spool", 1 << 20, schema=table.schema) as spool:
        for batch in table.to_batches(100):
            spool.append(batch)
        spool.finish()
        shared = Shared(tmp_path / "results", spool)
        assert shared.wait(10)
        yield shared
        shared.close()


@pytest.fixture
def readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Readers]:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    readers = Readers(tmp_path / "results")
    yield readers
    readers.clear()


def _held(shared: Shared) -> bool:
    """Whether this process holds the disk of the result."""
    return any(shared.id in line for line in Path("/proc/self/maps").read_text().splitlines())


def test_a_removed_result_does_not_hold_the_disk(
    readers: Readers, shared: Shared, eventually: Callable[..., object]
) -> None:
    reading = readers.get(shared.id)
    batch = reading.batch(0, [0])
    assert readers.get(shared.id) is reading
    assert _held(shared)
    shared.close()
    eventually(lambda: len(readers) == 0)
    assert batch.column(0)[99].as_py() == 99  # whoever reads goes on
    assert reading.batch(9, [0]).column(0)[99].as_py() == 999
    del reading, batch
    assert not _held(shared)
    with pytest.raises(UnknownResult):
        readers.get(shared.id)


def test_one_that_nobody_asks_for_is_let_go_and_opened_again(
    readers: Readers, shared: Shared, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., object]
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.3)
    for _ in range(10):
        assert readers.get(shared.id).rows == 1_000
    assert len(readers) == 1
    eventually(lambda: len(readers) == 0)
    assert not _held(shared)
    assert readers.get(shared.id).rows == 1_000
    eventually(lambda: len(readers) == 0)  # by another thread than the first time
