"""What a result shows, counts and hands over."""

from __future__ import annotations

import datetime
import decimal
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tests.query.support import World, eventually
from workbench.contract.errors import (
    InvalidParameter,
    LimitExceeded,
    StatementRefused,
    UnknownTable,
    Unsupported,
    UsageError,
)
from workbench.query.engine import Limits
from workbench.query.explain import Explanation, SourceReport
from workbench.query.result import Count


@pytest.fixture
def shop(world: World) -> World:
    world.put("orders", {"id": range(1_234), "note": [f"n{number}" for number in range(1_234)]})
    return world


def test_it_runs_once_and_hands_the_same_rows_over(shop: World) -> None:
    result = shop.session.sql("select id, random() as chance from shop.orders order by id")
    frame = result.polars()
    assert isinstance(frame, pl.DataFrame)
    assert frame.equals(pl.DataFrame(result.arrow()))
    assert result.pandas()["chance"].tolist() == frame["chance"].to_list()
    assert pl.DataFrame(result.reader().read_all()).equals(frame)
    assert pl.DataFrame(result).equals(frame)
    assert [row["chance"] for row in result] == frame["chance"].to_list()
    assert len(result) == 1_234
    assert len(shop.register.runs(active=False)) == 1
    assert result.rerun().polars()["chance"].to_list() != frame["chance"].to_list()


def test_nothing_runs_before_it_is_used(shop: World) -> None:
    result = shop.session.sql("select * from shop.orders")
    assert shop.register.runs(active=False) == []
    explanation = result.explain()
    assert explanation.state == "planned"
    assert [report.rows_moved for report in explanation.sources] == [None]
    assert not result.running
    assert [info.kind for info in shop.register.runs(active=False)] == ["explain"]


def test_explain_before_and_after(shop: World) -> None:
    shop.catalog.add("off", shop.source, orders={"applied": "none"})
    result = shop.session.sql(
        "select a.id from shop.orders a join off.orders b using (id) where a.id < 10 and b.note > 'n5'"
    )
    before, after = result.explain(), (result.wait(), result.explain())[1]
    assert before.state == "planned"
    assert after.state == "done"
    levels = {
        (report.connection, one.condition): (one.level, one.why)
        for report in after.sources
        for one in report.conditions
    }
    assert levels["shop", "id < 10"] == ("EXACT", "")
    assert levels["off", "note > 'n5'"] == ("NONE", "switched off for this table")
    off = next(report for report in after.sources if report.connection == "off")
    assert off.rows_moved == 1_234
    assert 0 < (off.rows_kept or 0) < 1_234
    assert "scan orders" in off.native_text
    assert json.loads(json.dumps(after.dict()))["sources"][0]["bytes"] > 0
    for word in ("EXACT", "NONE", "switched off", "moved", "kept"):
        assert word in repr(after)
        assert word in after._repr_html_()


def test_of_many_parts_the_first_and_the_last_are_explained() -> None:
    def shown(count: int) -> list[str]:
        asked = "\n".join(f'find({{"$gt": {number}}})' for number in range(count))
        report = SourceReport("docs", "orders", ("id",), asked, splits=count)
        return [line for line in repr(Explanation("", "planned", (report,))).splitlines() if "find" in line]

    assert [len(shown(count)) for count in (1, 4, 5, 300)] == [1, 4, 3, 3]
    assert shown(300)[-1].strip() == 'find({"$gt": 299})'
    asked = Explanation("", "planned", (SourceReport("docs", "orders", ("id",), "select 1\n" * 9, splits=1),))
    assert repr(asked).count("select 1") == 9


def test_a_pair_of_dollars_is_no_formula(shop: World) -> None:
    """JupyterLab typesets what lies between them, unless it is told not to."""
    result = shop.session.sql("select '$a_1$' as v from shop.orders")
    result.wait()
    for shown in (result, result.explain()):
        assert re.search(r"""^(<p>[^<]*</p>)?<(div|table) class=.[\w -]*\bmathjax_ignore\b""", shown._repr_html_())


def test_counts_are_honest(shop: World) -> None:
    shop.catalog.add("held", shop.source, orders={"hold_after": 1, "splits": 1, "batch_rows": 100})
    held = shop.session.sql("select * from held.orders")
    shown = held._repr_html_()
    assert held.rows == Count(100, "so far")
    assert "first 50 rows, 100 so far, still running" in shown
    held.cancel()
    whole = shop.session.sql("select * from shop.orders")
    assert "first 50 of 1,234 rows" in whole._repr_html_()
    assert "1,234" in repr(whole)
    assert str(whole.rows) == "1,234"
    assert "2 rows" in repr(shop.session.sql("select * from shop.orders where id < 2"))
    eventually(shop.quiet)


def test_a_capped_result_says_so_everywhere(shop: World) -> None:
    session = shop.another(limits=Limits(spool_rows=1_000))
    result = session.sql("select * from shop.orders")
    assert "capped at 1,000, more rows exist" in result._repr_html_()
    assert "capped at 1,000, more rows exist" in repr(result)
    assert result.rows == Count(1_000, "capped")
    assert "capped" in result.explain().state
    for use in (len, lambda r: r.arrow(), lambda r: r.polars(), list, lambda r: r.write(shop.home / "x.csv")):
        with pytest.raises(LimitExceeded, match="More rows exist"):
            use(result)  # type: ignore[operator]
    assert not (shop.home / "x.csv").exists()
    assert result.rerun().reader().read_all().num_rows == 1_234
    assert len(session.sql("select * from shop.orders where id < 1000")) == 1_000
    with pytest.raises(LimitExceeded):
        session.sql("create temp table t as select * from shop.orders")
    session.close()


def test_cells_are_data(world: World) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    world.put("t", {hostile: [hostile, None, "a\nb\x1b[31m\u202e"], "n": [1, None, 3]})
    for shown in (world.session.sql("select * from shop.t")._repr_html_(),):
        assert hostile not in shown
        assert "&lt;img" in shown
        assert "NULL" in shown
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    assert "\x1b" not in repr(world.session.sql("select * from shop.t"))


def test_every_kind_of_value_is_shown(world: World) -> None:
    text = """select 1::hugeint h, uuid() u, 'a'::enum('a', 'b') e, {'a': [1, 2]} s, map {'k': 1} m,
        time '10:00' t, 1.50::decimal(9, 2) d, now() n, 'x'::blob b, 'nan'::double f, timestamp '0001-01-01' old,
        date '9999-12-31' late, timestamp_ns '2024-01-01 00:00:00.123456789' ns, true ok,
        '101'::bit::varchar bits, null nothing, '{"a":1}'::json j, 255::utinyint ut, [] empty"""
    result = world.session.sql(text)
    assert "1 row" in repr(result)
    assert "1.50" in result._repr_html_()
    assert result.polars().height == 1
    assert "1 row" in repr(world.session.sql("select interval 1 day as i, union_value(k := 1) as u"))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("340282366920938463463374607431768211455::uhugeint", "UHUGEINT"),  # would be -1
        ("'12:00:00+02'::timetz", "TIME WITH TIME ZONE"),  # would lose its zone
        ("['101'::bit]", "BIT"),
        ("12345678901234567890123456789012345678901234567890::bignum", "BIGNUM"),
    ],
)
def test_a_type_that_would_become_another_value_is_refused(value: str, kind: str, world: World) -> None:
    with pytest.raises(Unsupported, match=rf"Column `v`.* {kind}\..*::varchar"):
        world.rows(f"select 1 as n, {value} as v")
    assert world.rows(f"select {{'bit': 1}} as s, ({value})::varchar = '' as v") == [({"bit": 1}, False)]


def test_no_rows_are_shown_where_none_are_wanted(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.session.sql("select 1 as a").head(0).num_rows == 0
    assert world.session.sql("select 1 as a").head(0).column_names == ["a"]
    world.session.sql("select 1 as a").show(0)
    assert "a" in capsys.readouterr().out
    with pytest.raises(UsageError, match="not -5"):
        world.session.sql("select 1 as a").show(-5)


def test_a_wide_result_says_how_many_columns_it_hides(world: World) -> None:
    result = world.session.sql(f"select {', '.join(f'{number} as c{number}' for number in range(300))}")
    assert "first 100 of 300 columns" in result._repr_html_()


def test_equal_names_become_distinct(shop: World) -> None:
    result = shop.session.sql(
        "select a.id, b.id, 1 as id_1, a.id from shop.orders a join shop.orders b using (id) limit 1"
    )
    assert result.columns == ["id", "id_2", "id_1", "id_3"]
    assert result.polars().width == 4


def test_a_zone_is_labelled_as_the_engine_does_it(world: World) -> None:
    moment = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    world.put("t", pa.table({"m": pa.array([moment, None], pa.timestamp("us", "UTC")), "n": [1, 2]}))
    plain, computed = (world.session.sql(f"select m, n from shop.t {tail}") for tail in ("limit 2", "order by n"))
    assert plain.schema == computed.schema
    assert plain.arrow().equals(computed.arrow())


def test_frames_and_results_by_their_variables(shop: World) -> None:
    arrow = pa.table({"id": [1, 2, 3], "k": ["a", "b", "c"]})
    pq.write_table(arrow, shop.home / "k.parquet")
    shop.variables.update(
        pl_frame=pl.DataFrame(arrow), lazy=pl.DataFrame(arrow).lazy(), pd_frame=arrow.to_pandas(),
        arrow=arrow, batch=arrow.to_batches()[0], data=ds.dataset(shop.home / "k.parquet"),
        earlier=shop.session.sql("select id, 'k' || id as k from shop.orders where id < 4"),
    )  # fmt: skip
    for name in shop.variables:
        text = f"select count(*), max(o.id) from {name} join shop.orders o using (id) where k > 'a'"
        assert shop.rows(text) == [(4 if name == "earlier" else 2, 3)], name
    assert shop.rows("select a.k from data a join arrow b using (id) where a.id = 2 and b.k >= 'b'") == [("b",)]
    chained = shop.session.sql("select max(id) as top from earlier")
    shop.variables["chained"] = chained
    assert shop.rows("select * from chained, chained c2") == [(3, 3)]


def test_values_that_are_no_table(shop: World) -> None:
    shop.variables.update(
        number=1, reader=pa.table({"a": [1]}).to_reader(), twice=pa.table([[1], [2]], names=["a", "a"])
    )
    with pytest.raises(UnknownTable, match="is an int"):
        shop.session.sql("from number")
    with pytest.raises(InvalidParameter, match="only once"):
        shop.session.sql("from reader")
    with pytest.raises(InvalidParameter, match="two columns"):
        shop.session.sql("from twice").arrow()


def test_a_large_frame_is_not_read_in_the_rehearsal(shop: World) -> None:
    big = pa.table({"id": range(200_000)})
    shop.variables["big"] = big
    result = shop.session.sql("select count(*) from big b join shop.orders o using (id)")
    assert result.arrow().to_pylist() == [{"count_star()": 1_234}]
    assert result.explain().unforeseen == 0


def test_temporary_tables(shop: World) -> None:
    session = shop.session
    session.sql("create temp table small as select * from shop.orders where id < 10")
    assert session.tables() == ["small"]
    shop.source.drop(next(ref for ref in shop.source.refs() if ref.name == "orders"))
    assert shop.rows("select count(*) from SMALL a join small b using (id)") == [(10,)]
    with pytest.raises(StatementRefused, match="or replace"):
        session.sql("create temp table Small as select 1")
    before = session.sql("select count(*) n from small")
    session.sql("create or replace temp table small as select 1 as one")
    assert before.arrow().to_pylist() == [{"n": 10}]
    there = session.sql("create temp table if not exists small as select 2 as two")
    assert there.columns == session.sql("select * from small").columns
    assert shop.rows("from small") == [(1,)]
    session.sql("drop table small")
    session.sql("drop table if exists small")
    with pytest.raises(UnknownTable):
        session.sql("drop table small")
    with pytest.raises(UnknownTable):
        session.sql("from small")
    assert shop.another(variables=None, files=False).tables() == []


def test_describe_summarize_and_explain(shop: World) -> None:
    assert [row[0] for row in shop.rows("describe shop.orders")] == ["id", "note"]
    assert [row[0] for row in shop.rows("summarize shop.orders")] == ["id", "note"]
    assert "PYTHON_ARROW_SCAN" in shop.rows("explain select * from shop.orders where id = 3")[0][1]
    assert "1234 rows" in shop.rows("explain analyze select max(id) from shop.orders")[0][1].replace(",", "")


def test_writing_files(shop: World) -> None:
    text = """select id, note, id / 3 as third, date '2024-01-01' as d, 1.50::decimal(9, 2) as p, null::int as nothing
        from shop.orders order by id"""
    for name in ("x.parquet", "x.csv", "x.arrow", "x.json", "x.jsonl"):
        assert shop.session.sql(text).write(shop.home / name) == 1_234
        shop.variables["suffix"] = name
    expected = shop.session.sql(text).polars()
    assert pl.read_parquet(shop.home / "x.parquet").equals(expected)
    assert pl.read_ipc(shop.home / "x.arrow").equals(expected)
    assert pl.read_csv(shop.home / "x.csv").height == 1_234
    lines = (shop.home / "x.json").read_text().splitlines()
    assert json.loads(lines[3]) == {
        "id": 3, "note": "n3", "third": 1.0, "d": "2024-01-01", "p": "1.50", "nothing": None}  # fmt: skip
    with pytest.raises(UsageError, match=r"\.parquet"):
        shop.session.sql(text).write(shop.home / "x.xls")


def test_a_file_appears_whole_or_not_at_all(shop: World) -> None:
    shop.catalog.add("broken", shop.source, orders={"fail_after": 2, "splits": 1, "batch_rows": 100})
    target = shop.home / "x.parquet"
    target.write_bytes(b"older")
    with pytest.raises(Exception, match="connection ended"):
        shop.session.sql("select * from broken.orders").write(target)
    assert target.read_bytes() == b"older"
    assert [path.name for path in shop.home.iterdir() if "x.parquet" in path.name] == ["x.parquet"]


def test_a_viewer_sees_connections_only(shop: World) -> None:
    viewer = shop.another(variables=None, files=False)
    assert viewer.sql("select count(*) n from shop.orders").arrow().to_pylist() == [{"n": 1_234}]
    shop.variables["frame"] = pa.table({"a": [1]})
    with pytest.raises(UnknownTable):
        viewer.sql("from frame")
    with pytest.raises(StatementRefused):
        viewer.sql(f"from '{shop.home}/x.parquet'")
    viewer.close()


def test_the_callers_variables_are_seen_by_the_module_functions(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.query import session

    monkeypatch.setattr(session, "_default", shop.session)
    import workbench as wb

    local_frame = pa.table({"id": [7]})
    least = 5
    assert wb.sql("select id from local_frame where id > $least").arrow().to_pylist() == [{"id": 7}]
    assert wb.sql("select $least as n, $other as o", {"other": 2}).arrow().to_pylist() == [{"n": 5, "o": 2}]
    assert (local_frame.num_rows, least) == (1, 5)
    eventually(lambda: wb.running() == [])


def test_rows_of_a_reader_do_not_pile_up(tmp_path: Path) -> None:
    """Three million rows through `.reader()`, in a process of its own, whose memory is measured."""
    script = f"""
import resource, sys
from pathlib import Path
from tests.query.support import World
world = World(Path({str(tmp_path)!r}))
def now():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
text = "select i, i * 0.5 as x, 'text ' || i as s from range({{}}) t(i)"
world.session.sql(text.format(1000)).reader().read_all()
start, most, rows = now(), 0, 0
for batch in world.session.sql(text.format(3_000_000)).reader():
    rows += batch.num_rows
    most = max(most, now())
assert rows == 3_000_000
print((most - start) >> 20)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) < 250


def test_python_values_are_what_they_were(world: World) -> None:
    values = {
        "d": datetime.date(2024, 2, 29), "t": datetime.datetime(2024, 1, 1, 12, 30, 1, 5), "p": decimal.Decimal("1.25"),
        "b": b"\x00\xff", "s": "ünï'\"\n", "f": -0.0, "i": 2**63 - 1, "n": None, "y": True,
    }  # fmt: skip
    text = "select " + ", ".join(f"${name} as {name}" for name in values)
    assert world.session.sql(text, values).arrow().to_pylist() == [values]


def test_progress_is_told_in_the_thread_that_waits(world: World) -> None:
    """Not in one of the engine's, which reads an earlier result as a table."""
    world.put("t", {"id": range(5_000)})
    world.catalog.add("slow", world.source, t={"pause": 0.3, "batch_rows": 1_000, "splits": 1})
    told: set[str] = set()
    world.session.on_progress = lambda progress: told.add(threading.current_thread().name)
    world.variables["earlier"] = world.session.sql("select id from slow.t")
    assert world.rows("select count(*) from earlier") == [(5_000,)]
    assert told == {threading.current_thread().name}
