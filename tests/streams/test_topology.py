"""What a topology refuses, in words that name the value; documents; drawings."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import workbench as wb
from tests.streams.parts import Keep, Words, last_task, measured, numbers, short
from workbench.contract.errors import (
    DocumentError,
    InvalidParameter,
    TopologyError,
    UnknownComponent,
    UnknownField,
    UnknownName,
    UnknownStream,
)
from workbench.streams import Bolt, Spout, Topology, custom, fields


class Directs(Bolt):
    outputs = {"default": ("a",), "chosen": ("a",)}
    direct = ("chosen",)

    def execute(self, tuple: Any) -> None:  # noqa: A002
        raise AssertionError


def words() -> Topology:
    return Topology("t").spout("words", Words("a", "bb"))


def test_it_is_part_of_the_surface() -> None:
    assert wb.streams.Topology is Topology


REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: Topology("a b"), InvalidParameter, "'a b'"),
    (lambda: Topology("t", max_pending=5), UnknownName, "Did you mean `max_spout_pending`"),
    (
        lambda: Topology("t", max_spout_pending=None),
        InvalidParameter,
        "`max_spout_pending` is None; it is a whole number",
    ),
    (lambda: Topology("t", message_timeout="soon"), InvalidParameter, "'soon'"),
    (lambda: words().spout("words", Words("c")), InvalidParameter, "`words` is already that of a spout"),
    (lambda: words().bolt("b/c", measured, inputs="words"), InvalidParameter, "'b/c'"),
    (lambda: words().bolt("b", measured, inputs="words", parallelism=0), InvalidParameter, "of `b` is 0; it is 1 to"),
    (lambda: words().bolt("b", measured, inputs=[]), InvalidParameter, 'inputs="views"'),
    (lambda: words().bolt("b", measured, inputs=[("words", "by word")]), InvalidParameter, "`by word`; Storm knows"),
    (lambda: words().bolt("b", measured, inputs=[("words", "fields")]), InvalidParameter, "at least one field"),
    (lambda: words().bolt("b", Words("x"), inputs="words"), InvalidParameter, "a bolt is a class or instance of Bolt"),
    (lambda: words().bolt("b", Bolt, inputs="words"), InvalidParameter, "neither `execute` nor `execute_batch`"),
    (lambda: words().bolt("b", measured, inputs="words", outputs="x"), InvalidParameter, "said twice"),
    (lambda: Topology("t").spout("s", lambda: iter(())), InvalidParameter, 'outputs=("page", "user")'),
    (lambda: Topology("t").spout("s", short, outputs=("a", "a")), InvalidParameter, "`a` twice"),
    (lambda: Topology("t").check(), TopologyError, "no spout"),
    (lambda: words().bolt("b", measured, inputs="wrods").check(), UnknownComponent, "`wrods`. Did you mean `words`"),
    (lambda: words().bolt("b", measured, inputs="words.errors").check(), UnknownStream, "`words.errors`"),
    (lambda: words().bolt("b", measured, inputs=[("words", fields("wort"))]).check(), UnknownField, "has `word`"),
    (
        lambda: words().bolt("d", Directs, inputs="words").bolt("k", Keep("k"), inputs=[("d", "direct")]).check(),
        TopologyError,
        "is not declared as direct",
    ),
    (
        lambda: words().bolt("d", Directs, inputs="words").bolt("k", Keep("k"), inputs=["d.chosen"]).check(),
        TopologyError,
        "takes `d.chosen` by shuffle, and that stream is declared as direct",
    ),
    (lambda: words().run("storm"), InvalidParameter, "'storm'"),
    (lambda: words().run(workers=2), UnknownName, 't.run("processes", workers=…) knows it'),
    (lambda: words().run("processes", wrokers=2), UnknownName, "Did you mean `workers`"),
    (lambda: words().run("processes", hang="x"), InvalidParameter, "`hang` is 'x'; say a time"),
    (lambda: words().run("processes", hang=0.1), InvalidParameter, "`hang` is 0.1; it is 1 s or more"),
    (lambda: words().run(state=5), InvalidParameter, "`state` is 5; it is True, a path"),
    (lambda: words().run("processes", state=""), InvalidParameter, "`state` is ''"),
    (lambda: words().run(state="a\0b"), InvalidParameter, r"`state` is 'a\x00b'"),
    (lambda: words().run(state=True, forget="words"), InvalidParameter, 'forget=("count",)'),
    (lambda: Topology("t", seed=[1]), InvalidParameter, "`seed` is [1]"),
    (lambda: Topology("x" * 9_999), InvalidParameter, "then up to 63 letters"),
    (lambda: words().bolt("b", measured, inputs=["words", "words"]), InvalidParameter, "name `words.default` twice"),
    (lambda: words().bolt("b", measured, inputs=None), InvalidParameter, "of `b` have None"),
]


@pytest.mark.parametrize(("build", "error", "says"), REFUSED, ids=[says for _, _, says in REFUSED])
def test_what_is_wrong_is_said(build: Callable[[], object], error: type[Exception], says: str) -> None:
    with pytest.raises(error) as raised:
        build()
    assert says in str(raised.value)


def test_a_cycle_is_named_in_the_direction_of_the_tuples() -> None:
    t = words()
    t.bolt("a", short, inputs=["words", "c"], outputs="word")
    t.bolt("b", short, inputs="a", outputs="word")
    t.bolt("c", short, inputs="b", outputs="word")
    with pytest.raises(
        TopologyError, match=r"`a` → `b` → `c` → `a` is a cycle|`b` → `c` → `a` → `b`|`c` → `a` → `b` → `c`"
    ):
        t.check()
    assert "svg" in t._repr_html_()  # drawn all the same


def whole() -> Topology:
    t = Topology("whole", message_timeout="1m", seed=3)
    t.spout("words", Words("a", "bb", times=2), parallelism=2).spout("numbers", numbers)
    t.bolt("measured", measured, inputs=[("words", fields("word")), "words.dead_letter"], parallelism=3)
    t.bolt("short", short, inputs=[("words", custom(last_task))], outputs="word", parallelism=2)
    t.bolt("keep", Keep("whole"), inputs=[("measured", "global"), ("short", "all"), ("numbers", "none")])
    return t


def test_a_document_makes_the_same_topology() -> None:
    body = json.loads(json.dumps(whole().to_document()))
    again = Topology.from_document(body)
    assert again.to_document() == body
    assert again.describe() == whole().describe()
    assert again.config == whole().config
    again.check()


def test_what_others_cannot_import_or_keep_is_refused_by_name() -> None:
    def inner() -> Iterator[int]:
        yield 1

    with pytest.raises(DocumentError, match=r"component `s`: .*inner` is written inside of a function"):
        Topology("t").spout("s", inner, outputs="n").to_document()
    with pytest.raises(DocumentError, match="no plain value"):
        Topology("t").spout("s", Words(object())).to_document()  # type: ignore[arg-type]
    for body, says in (
        ({}, "is damaged"),
        ({"name": "t", "config": {}, "components": {"s": {"kind": "spout"}}}, "is damaged"),
        (
            {"name": "t", "config": {}, "components": {"s": {"kind": "spout", "code": "os:nowhere", "parallelism": 1}}},
            "`os:nowhere` for component `s`, which cannot be imported",
        ),
    ):
        with pytest.raises(DocumentError, match=says):
            Topology.from_document(body)


def test_it_is_told_and_drawn() -> None:
    told = whole().describe()
    assert "spout words, 2 tasks, gives word" in told
    assert (
        "bolt measured, 3 tasks, takes words by fields(word), words.dead_letter by shuffle, gives word, length" in told
    )
    drawn = whole().svg()
    assert drawn.startswith("<svg")
    assert all(
        f">{name}" in drawn for name in ("words ×2", "measured ×3", "keep", "fields(word)", "dead_letter shuffle")
    )


@pytest.mark.parametrize("deep", [True, False])
def test_twice_as_many_components_are_twice_the_work(deep: bool) -> None:
    """A chain of them, and as many that take one spout: before anything runs, in lines of Python."""

    def lines(components: int) -> int:
        t = Topology("large").spout("from", Words("a"))
        for number in range(components):
            t.bolt(f"bolt{number}", short, inputs=f"bolt{number - 1}" if deep and number else "from", outputs=("word",))
        count = 0

        def line(frame: Any, event: str, given: Any) -> Any:
            nonlocal count
            count += event == "line"
            return line

        traced = sys.gettrace()
        sys.settrace(line)
        try:
            t.check()
            t.guarantees()
            t.consumers()
            t.svg()
        finally:
            sys.settrace(traced)
        return count

    lines(10)
    assert lines(400) < 2.5 * lines(200)


def test_what_travels_to_storm_needs_the_standard_library_only() -> None:
    names = [
        "topology",
        "component",
        "javahash",
        "acker",
        "replay",
        "routing",
        "groupings",
        "tuples",
        "saving",
        "panes",
    ]
    code = f"""
import sys
for name in {names!r}:
    __import__("workbench.streams." + name)
others = {{name.partition(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names) - {{"workbench", "__main__"}}
rooms = {{name.split(".")[1] for name in sys.modules if name.startswith("workbench.")}}
print(sorted(others), sorted(rooms))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = run.stdout.strip()
    assert loaded.endswith("['contract', 'streams']"), loaded
    assert not {"pyarrow", "numpy", "polars", "duckdb"} & set(loaded.replace("'", "").strip("[]").split(", "))


def test_a_spout_that_is_no_iterator_has_storms_methods() -> None:
    assert {"open", "next_tuple", "ack", "fail", "activate", "deactivate", "close"} <= set(dir(Spout))
