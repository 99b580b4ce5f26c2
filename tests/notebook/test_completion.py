"""Completion knows where it is, and never waits for a source."""

from __future__ import annotations

import sys
import threading
import time
from types import ModuleType
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from workbench.contract.errors import Unreachable
from workbench.notebook import completion
from workbench.notebook.names import Deadline, Names, connections, session
from workbench.notebook.scope import place
from workbench.testing.clock import SettableClock, eventually


def complete(shell: InteractiveShell, text: str) -> tuple[list[str], str]:
    """The suggestions where `|` stands, and the text that each would replace."""
    at = text.index("|")
    text = text[:at] + text[at + 1 :]
    with provisionalcompleter():
        found = list(shell.Completer.completions(text, at))
    return [one.text for one in found], text[found[0].start : found[0].end] if found else ""


@pytest.mark.parametrize(
    ("cell", "first", "replaced"),
    [
        ("%%sql\nsel|", ["select"], "sel"),
        ("%%sql\nSEL|", ["SELECT"], "SEL"),
        ("%%sql\nselect * from sh|", ["shop."], "sh"),
        ("%%sql\nselect * from shop.|", ["customers", "items", "orders"], ""),
        ("%%sql\nselect * from shop.ord|", ["orders"], "ord"),
        ('%%sql\nselect * from "shop".ord|', ["orders"], "ord"),
        ("%%sql\nselect * from shop.items i join web.|", ["events"], ""),
        ("%%sql\nselect * from shop.items, web.e|", ["events"], "e"),
        ("%%sql\nselect o.tot| from shop.orders o", ["total"], "tot"),
        ("%%sql\nselect o.tot| from shop.orders as o where o.total > 1", ["total"], "tot"),
        ('%%sql\nselect "o".tot| from shop.orders "o"', ["total"], "tot"),
        ("%%sql\nselect orders.tot| from shop.orders", ["total"], "tot"),
        ("%%sql\nselect shop.orders.tot| from shop.orders", ["total"], "tot"),
        ("%%sql\nselect tot| from shop.orders", ["total"], "tot"),
        ("%%sql\nselect 1 from shop.orders o where o.chan| and 1 = 1", ["channel"], "chan"),
        ("%%sql\nselect 1 from shop.orders o join shop.items i on o.item_id = i.cat|", ["category"], "cat"),
        ("%%sql\nselect x.tw| from (select total * 2 as twice from shop.orders) x", ["twice"], "tw"),
        ("%%sql\nselect x.tot| from (select o.* from shop.orders o) x", ["total"], "tot"),
        (
            "%%sql\nselect 1 from shop.customers c where exists (select 1 from shop.orders o where o.tot|",
            ["total"],
            "tot",
        ),
        (
            "%%sql\nselect 1 from shop.customers c where exists (select 1 from shop.orders o where c.coun|)",
            ["country"],
            "coun",
        ),
        ("%%sql\nwith big as (select total t from shop.orders) select * from bi|", ["big"], "bi"),
        ("%%sql\nwith big as (select total totally from shop.orders) select tota| from big", ["totally"], "tota"),
        ("%%sql\nwith big(a, bcd) as (select 1, 2) select b.bc| from big b", ["bcd"], "bc"),
        ("%%sql\nselect * from fra|", ["frame"], "fra"),
        ("%%sql\nselect f.am| from frame f", ["amount"], "am"),
        ("%%sql\nselect * from shop.orders where total > $lim|", ["$limit"], "$lim"),
        ("%%sql --na|", ["--native"], "--na"),
        ("%%sql --native sh|", ["shop"], "sh"),
        ("%%sql --native=sh|", ["shop"], "sh"),
        ("%%sql top <<\nselect o.tot| from shop.orders o", ["total"], "tot"),
        ("%%sql --rows 5\nselect o.tot| from shop.orders o", ["total"], "tot"),
        ("x = 1\nr = %sql select o.tot| from shop.orders o", ["total"], "tot"),
        ("%sql select o.tot| from shop.orders o", ["total"], "tot"),
        ("%%sql\nselect date_tr|", ["date_trunc("], "date_tr"),
    ],
)
def test_what_is_suggested(shell: InteractiveShell, cell: str, first: list[str], replaced: str) -> None:
    import polars

    shell.user_ns.update(frame=polars.DataFrame({"amount": [1]}), limit=5)
    # On a busy machine the names may come later than a completion waits for them.
    eventually(lambda: complete(shell, cell)[0][: len(first)] == first, 10, cell)
    assert complete(shell, cell)[1] == replaced


def test_columns_come_before_keywords_and_the_nearest_first(shell: InteractiveShell) -> None:
    eventually(lambda: "item_id" in complete(shell, "%%sql\nselect | from shop.items")[0], 10)
    found, _ = complete(shell, "%%sql\nselect | from shop.items")
    assert found[:3] == ["item_id", "name", "category"]
    assert "select" in found


def test_within_a_text_or_a_comment_nothing_is_suggested(shell: InteractiveShell) -> None:
    for cell in ("%%sql\nselect 'tot|", "%%sql\nselect 1 -- tot|", "%%sql\nselect /* tot| */ 1", "%%sql\nselect $$to|"):
        found, fragment = complete(shell, cell)
        assert found == [fragment], cell


def test_python_is_left_alone_and_python_leaves_sql_alone(shell: InteractiveShell) -> None:
    shell.user_ns["orders_of_python"] = 1
    assert "orders_of_python" in complete(shell, "orders_of_|")[0]
    assert complete(shell, "%%sql\nselect orders_of_pyth|")[0] == ["orders_of_pyth"]


def test_awkward_names_are_quoted(shell: InteractiveShell) -> None:
    import polars

    shell.user_ns["frame"] = polars.DataFrame({"with space": [1], "select": [1], "date": [1]})
    found, _ = complete(shell, "%%sql\nselect frame.| from frame")
    assert found == ['"with space"', '"select"', "date"]
    assert complete(shell, '%%sql\nselect frame."wi| from frame')[0] == ['"with space"']


def test_any_place_of_any_text_has_an_answer() -> None:
    text = (
        'with a as (select \'x\' y, "q""" from s.t(1) as z, lateral (select 1)) '
        "select a.* , $v from a join b using (c) -- ("
    )
    for at in range(len(text) + 1):
        assert place(text, at).kind in ("table", "name", "variable", "nothing")
        assert place(text[:at], at).kind in ("table", "name", "variable", "nothing")


def test_a_very_long_statement_is_answered_in_time() -> None:
    wide = "select " + ", ".join(f"(a.c{i} + (b.d{i}))" for i in range(5000)) + " from shop.orders a where a."
    deep = "(" * 3000 + "select a.x from t a" + ")" * 3000
    for text, at in ((wide, len(wide)), (wide, 20_000), (deep, 3011)):
        started = time.process_time()
        place(text, at)
        assert time.process_time() - started < 0.5
    assert place(wide, len(wide)).tables[0].parts == ("shop", "orders")


class SlowCatalog:
    """Says its tables only when it is let."""

    def __init__(self) -> None:
        self.let, self.asked = threading.Event(), 0

    def names(self) -> list[str]:
        return ["far"]

    def names_like(self, connection: str, limit: int = 0) -> list[Any]:
        self.asked += 1
        self.let.wait()
        raise Unreachable("far", "nobody answers")


def test_a_source_that_does_not_answer_holds_nobody_up() -> None:
    catalog = SlowCatalog()
    names = Names(lambda: catalog)  # type: ignore[arg-type,return-value]
    started = time.monotonic()
    assert names.tables("far", Deadline(0.05)) == []
    assert names.tables("far", Deadline(0.05)) == []
    assert time.monotonic() - started < 1
    assert catalog.asked == 1, "one thread a question"
    catalog.let.set()


def test_what_came_late_is_there_the_next_time_and_failures_are_not_asked_at_once() -> None:
    catalog, clock = SlowCatalog(), SettableClock()
    names = Names(lambda: catalog, clock)  # type: ignore[arg-type,return-value]
    assert names.tables("far", Deadline(0)) == []
    catalog.let.set()
    eventually(lambda: not names._coming, 5)
    assert names.tables("far", Deadline(1)) == []
    assert catalog.asked == 1
    clock.advance(11)
    names.tables("far", Deadline(1))
    eventually(lambda: catalog.asked == 2, 5)
    assert names.connections(Deadline(5)) == ["far"]


def test_connections_are_suggested_while_the_engine_is_still_imported(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module is there from the beginning of its import on; what is in it is not."""
    eventually(lambda: "workbench-names" not in [thread.name for thread in threading.enumerate()], 20)
    monkeypatch.setitem(sys.modules, "workbench.query.session", ModuleType("workbench.query.session"))
    matcher = shell.Completer.custom_matchers[-1]
    assert matcher.matcher_identifier == "workbench.sql"
    assert "shop." in complete(shell, "%%sql\nselect * from |")[0]
    assert connections() == ["shop", "web"]
    assert session() is None


def test_tables_are_suggested_while_the_engine_is_still_imported(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    eventually(lambda: "workbench-names" not in [thread.name for thread in threading.enumerate()], 20)
    monkeypatch.setitem(sys.modules, "workbench.query.session", ModuleType("workbench.query.session"))
    assert session() is None
    early = completion._catalog()
    try:
        assert early is completion._catalog()
        assert [str(one) for one in early.names_like("shop", "ord%")] == ["orders"]
    finally:
        completion._let_go()
    monkeypatch.undo()
    assert completion._early is None


def test_a_mistake_in_a_catalog_is_no_mistake_of_the_cell(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(SlowCatalog):
        def names(self) -> list[str]:
            self.asked += 1
            raise RuntimeError("a plug-in's own")

    catalog = Broken()
    names = Names(lambda: catalog)  # type: ignore[arg-type,return-value]
    started = time.monotonic()
    assert names.connections(Deadline(5)) == names.connections(Deadline(5)) == []
    assert time.monotonic() - started < 4
    assert catalog.asked == 1
    assert "a plug-in's own" in caplog.text


@pytest.mark.parametrize(
    ("text", "kind"),
    [("select 'it''", "nothing"), ("select 'it'", "name"), ("select e'a\\''", "name"), ("select $$it's$$", "name"),
     ("select $x$it's$$", "nothing"), ("select 'a", "nothing")],
)  # fmt: skip
def test_within_a_text_nothing_is_suggested(text: str, kind: str) -> None:
    assert place(text, len(text)).kind == kind


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("        self.collector.em|", "emit"),
        ("        self.cou|", "counts"),
        ("        Bolt.exec|", "execute_batch"),
        ("from workbench.streams import State|", "StatefulBolt"),
    ],
)
def test_a_bolts_cell_is_completed_as_python(shell: InteractiveShell, line: str, wanted: str) -> None:
    """Of the cell's own classes, too, which have not run yet."""
    cell = """%%bolts shop
from workbench.streams import Bolt

class Count(Bolt):
    def prepare(self, config, context, collector):
        self.counts = {}

    def execute(self, tuple):
"""
    assert wanted in complete(shell, cell + line)[0]
