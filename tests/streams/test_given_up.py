"""How errors and rows that were given up are shown; and a topology that is added to while it runs."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from workbench.contract.errors import UnknownComponent
from workbench.runs import Register
from workbench.streams import Bolt, Topology, spout
from workbench.streams.given_up import DeadLetter, DeadLetters, Faults
from workbench.streams.task import Fault


def test_errors_are_a_line_for_each_kind_the_newest_first() -> None:
    faults = [Fault("clean", 2, 60.0 + second, "ValueError: no", f"row {second}") for second in range(1_200)]
    shown = Faults([*faults, Fault("save", 3, 30.0, "KeyError: 'x'", "<b>\n" + "long" * 100)], time.gmtime)
    assert len(shown) == 1_201
    head, newest, other = repr(shown).splitlines()
    assert head.split() == ["component", "error", "times", "last", "at", "row"]
    assert newest.startswith("save       KeyError: 'x'   1      00:00:30  <b> longlong")
    assert newest.endswith("…")
    assert other == "clean      ValueError: no  1,200  00:20:59  row 1199"
    assert "&lt;b&gt;" in shown._repr_html_()
    assert repr(Faults()) == "no errors"


def test_rows_that_were_given_up_and_what_is_left_out() -> None:
    letters = DeadLetters(
        DeadLetter(("/pay", number), f"bolt{number % 30}", "ValueError: no", 4) for number in range(90)
    )
    lines = repr(letters).splitlines()
    assert lines[1].split() == ["bolt29", "ValueError:", "no", "3", "4", "('/pay',", "89)"]
    assert (len(lines), lines[-1]) == (22, "and 10 others")
    assert letters._repr_html_().endswith("<p>and 10 others</p>")
    assert letters[0].row == ("/pay", 0)
    assert "was given up" in DeadLetters()._repr_html_()


def test_a_row_that_python_cannot_spell_is_told_all_the_same_and_only_lines_that_are_shown_are_made() -> None:
    spelled = []

    class Odd:
        def __repr__(self) -> str:
            spelled.append(self)
            return "odd"

    huge = DeadLetter((10**5_000,), "bolt", "ValueError: no", 1)
    assert "a value of type `tuple`" in repr(DeadLetters([huge]))
    repr(DeadLetters(DeadLetter((Odd(),), f"bolt{number % 50}", "ValueError: no", 1) for number in range(1_000)))
    assert len(spelled) == 20


def test_what_is_added_while_it_runs_is_in_the_next_run(tmp_path: Path) -> None:
    more = threading.Event()

    @spout("n")
    def numbers() -> Any:
        yield 1
        while not more.is_set():
            yield None

    class Keep(Bolt):
        def execute(self, tuple: Any) -> None:  # noqa: A002
            """Takes it."""

    register = Register(tmp_path / "runs.sqlite")
    t = Topology("grown").spout("numbers", numbers).bolt("keep", Keep, inputs="numbers")
    running = t.run(register=register)
    t.bolt("added", Keep, inputs="numbers")
    assert set(running.guarantees()) == {"keep"}
    more.set()
    running.wait(60)
    metrics = running.metrics()
    assert metrics.count("acked", "keep") == 1
    assert metrics.count("acked", "added") == 0
    t.bolt("wrong", Keep, inputs="nothing")
    with pytest.raises(UnknownComponent):
        t.run(register=register)
    register.close()
