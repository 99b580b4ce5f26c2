"""Sources full of what nobody expects, and connectors that do what they must not do."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

from tests.query.support import World, eventually
from workbench.contract import TableRef
from workbench.contract.errors import Cancelled, ConnectionLost, ProtocolError, QueryFailed, SnapshotChanged
from workbench.query.tokens import tokens
from workbench.testing.hostile import FAULTS, MANIFEST, NAMES, hostile_source
from workbench.testing.memory import source_config


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("awkward"))
    world.source = hostile_source()
    world.catalog.add("odd", world.source)
    return world


def faulty(world: World, fault: str, after: int = 1) -> None:
    source = hostile_source(columns=1)
    world.kept = source
    knobs = {"fault": fault, "after": after, "batch_rows": 1000, "splits": 1}
    config = source_config(source, "faulty", True, plain=knobs)
    world.catalog.connectors["faulty"] = MANIFEST, MANIFEST.open(config)


@pytest.mark.parametrize("name", NAMES)
def test_names_nobody_expects(name: str, awkward: World) -> None:
    table = f"odd.{quoted(name)}"
    assert awkward.session.sql(f"from {table}").columns == list(NAMES)
    column, last = quoted(name), quoted(NAMES[-1])
    number = NAMES.index(name)
    assert awkward.rows(
        f"select {column}, odd.{quoted(name)}.{last} from {table} where {column} >= 0 and {column} < 99"
    ) == [
        *([(number, len(NAMES) - 1)]),
        *([(0, 1 - len(NAMES))] if number == 0 else []),
    ]
    assert len(tokens(table)) == 3


def test_ten_thousand_columns(awkward: World) -> None:
    started = time.monotonic()
    result = awkward.session.sql("select * from odd.wide")
    assert len(result.columns) == 10_000
    assert "first 100 of 10,000 columns" in result._repr_html_()
    assert awkward.rows("select count(*), sum(c9999) from odd.wide where c1 is not null") == [(1, 9_999)]
    assert time.monotonic() - started < 20


def test_nothing_but_nulls_and_odd_texts(awkward: World) -> None:
    assert awkward.rows("select count(*), count(c0), count(c1), max(c6) from odd.nulls") == [(1_000, 0, 0, None)]
    assert awkward.rows("select count(*) from odd.texts where t = ''") == [(1,)]
    assert awkward.rows("select count(*) from odd.texts where t <> 'NULL'") == [(6,)]
    assert "row" in repr(awkward.session.sql("from odd.texts"))


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"deaf", "empty_batches"}))
@pytest.mark.parametrize(
    "text", ["select * from faulty.plain", "select count(*), max(t) from faulty.plain where id % 2 = 0"]
)
def test_a_connector_that_lies_is_an_error_of_its_kind(fault: str, text: str, awkward: World) -> None:
    faulty(awkward, fault)
    wanted = {
        "wrong_schema": ProtocolError,
        "extra_column": ProtocolError,
        "lost": ConnectionLost,
        "error_twice": QueryFailed,
        "changed": SnapshotChanged,
        "untyped": Exception,
    }[fault]
    with pytest.raises(wanted):
        awkward.session.sql(text).arrow()
    if fault == "changed":
        # The next statement sees the table as it is now.
        connector = awkward.catalog.open("faulty")
        connector.config.tables["plain"].pop("fault")  # type: ignore[attr-defined]
        assert awkward.session.sql("from faulty.plain limit 1").columns[-1] == "late"
    eventually(lambda: not awkward.register.runs(active=True), 3)


def test_batches_without_rows_are_no_end(awkward: World) -> None:
    faulty(awkward, "empty_batches", 0)
    assert awkward.rows("select count(*) from faulty.plain") == [(10_000,)]
    assert awkward.session.sql("from faulty.plain").arrow().num_rows == 10_000


def test_a_deaf_reader_is_let_go_of(awkward: World) -> None:
    faulty(awkward, "deaf")
    result = awkward.session.sql("select count(*) from faulty.plain").start()
    threading.Timer(0.3, result.cancel).start()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        result.wait()
    assert time.monotonic() - started < 1
    eventually(lambda: not awkward.register.runs(active=True), 5)


def test_a_column_that_came_later_is_seen_by_the_next_statement(world: World) -> None:
    world.put("t", {"a": [1]})
    assert world.rows("from shop.t") == [(1,)]
    world.source.alter(TableRef("t"), lambda rows: rows.append_column("b", pa.array([2])))
    with pytest.raises(Exception, match="`b`"):
        world.rows("select b from shop.t")
    assert world.rows("select b from shop.t") == [(2,)]


def test_what_the_process_leaves_when_it_just_ends(tmp_path: Path) -> None:
    """A process that ends while statements run ends well, and its sources' work with it."""
    import subprocess
    import sys

    script = f"""
from pathlib import Path
from tests.query.support import World
world = World(Path({str(tmp_path)!r}))
world.put("t", {{"a": range(1000)}})
world.catalog.add("held", world.source, t={{"hold_after": 1, "splits": 2, "batch_rows": 100}})
results = [world.session.sql(text).start() for text in (
    "select * from held.t", "select count(*) from held.t", "select count(*) from held.t x join shop.t y using (a)",
    "select count(*) from range(100000000000) t(i) where i % 7 = 3")]
print(results[0].head(1).num_rows)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    from workbench.runs import Register

    register = Register(tmp_path / "runs.db")
    assert [info.state for info in register.runs(active=False)] == ["stopped"] * 4
    register.close()
