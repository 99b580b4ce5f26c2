"""What is published, and who may look: without a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.dashboards.conftest import notebook
from workbench.contract.errors import DocumentError, InvalidParameter, PathUnreachable, UsageError
from workbench.dashboards import Dashboards, process, publishing
from workbench.dashboards.access import Access
from workbench.dashboards.published import UnknownDashboard
from workbench.notebook.showing import ProgressLine
from workbench.query.execution import Progress

Write = Callable[..., Path]


def test_a_copy_without_outputs_is_published_and_stays_while_the_notebook_changes(tmp_path: Path, write: Write) -> None:
    path = write("02_traffic_overview.ipynb", "# The *traffic*", "print(1)")
    dashboards = Dashboards(tmp_path / "documents")
    made = dashboards.publish(path)
    assert (made.name, made.title, made.folder) == ("traffic-overview", "The traffic", str(tmp_path))
    path.unlink()
    found = dashboards.get("traffic-overview")
    assert found == made
    assert "OUTPUT-MARK" not in json.dumps(found.notebook)
    assert found.notebook["cells"][1]["source"] == "print(1)"
    dashboards.remove("traffic-overview")
    with pytest.raises(UnknownDashboard):
        dashboards.get("traffic-overview")


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"nbformat": 3, "cells": []}', '{"nbformat": 4, "cells": [1]}', "\xff"]
)
def test_what_is_no_notebook_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.ipynb").write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match=r"x\.ipynb is no Jupyter notebook"):
        Dashboards(tmp_path / "documents").publish(tmp_path / "x.ipynb")
    with pytest.raises(PathUnreachable, match=r"y\.ipynb"):
        Dashboards(tmp_path / "documents").publish(tmp_path / "y.ipynb")


def test_no_notebook_takes_the_place_of_another_unless_told_to(tmp_path: Path) -> None:
    dashboards = Dashboards(tmp_path / "documents")

    def publish(path: str, name: str | None = None) -> str:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(json.dumps(notebook(["print(1)"])))
        return dashboards.publish(tmp_path / path, name).name

    assert [publish(f"{folder}/01 Traffic.ipynb") for folder in "abab"] == ["traffic", "traffic-2"] * 2
    assert publish("b/sales.ipynb", "traffic") == "traffic"
    assert dashboards.get("traffic").source == str(tmp_path / "b" / "sales.ipynb")
    first, second = publish("売上.ipynb"), publish("顧客.ipynb")
    assert first != second == publish("顧客.ipynb")
    assert all(name.startswith("dashboard-") for name in (first, second))


@pytest.mark.parametrize(
    "metadata", [{"kernelspec": {"language": "R", "name": "ir"}}, {"language_info": {"name": "julia"}}]
)
def test_a_notebook_of_another_language_is_refused(tmp_path: Path, metadata: dict[str, object]) -> None:
    (tmp_path / "x.ipynb").write_text(json.dumps({**notebook(["1"]), "metadata": metadata}))
    with pytest.raises(UsageError, match=r"x\.ipynb is a notebook of (R|julia)"):
        Dashboards(tmp_path / "documents").publish(tmp_path / "x.ipynb")


def test_a_viewer_takes_nothing_of_the_kernel_that_starts_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/a.ipynb")
    monkeypatch.setenv("SHOP_PASSWORD", "kept")
    made = process._environment(tmp_path)
    assert (made["SHOP_PASSWORD"], made["WORKBENCH_HOME"]) == ("kept", str(tmp_path))
    assert not [name for name in made if name.startswith("JPY_")]


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "x" * 65, ".x"])
def test_a_name_is_one_that_an_address_can_hold(tmp_path: Path, write: Write, name: str) -> None:
    dashboards = Dashboards(tmp_path / "documents")
    with pytest.raises(InvalidParameter):
        dashboards.publish(write("x.ipynb", "1"), name)
    with pytest.raises(UnknownDashboard):
        dashboards.get(name)


def test_the_parameters_are_read_without_running_the_notebook(tmp_path: Path, write: Write) -> None:
    cell = "import workbench as wb\nasked = wb.parameters(top={'type': 'integer', 'default': 3})\nraise SystemExit"
    made = Dashboards(tmp_path / "documents").publish(write("x.ipynb", "%%sql\nselect 1", cell))
    assert made.parameters == {"top": {"type": "integer", "default": 3}}


def test_a_token_is_made_once_and_a_password_takes_its_place(tmp_path: Path) -> None:
    access = Access(tmp_path / "viewer")
    token = access.token()
    assert token is not None
    assert token == Access(tmp_path / "viewer").token()
    assert access.fits(token)
    assert not access.fits("")
    assert not access.fits(token + "x")
    before = access.mark()
    with pytest.raises(UsageError):
        access.set_password("short")
    access.set_password("correct horse")
    assert access.fits("correct horse")
    assert not access.fits(token)
    assert access.token() is None
    assert access.mark() != before, "who is logged in by the token is out"
    kept = (tmp_path / "viewer" / "access.json").read_text()
    assert "correct horse" not in kept
    assert token not in kept
    access.renew()
    assert not access.fits("correct horse")
    assert access.fits(str(access.token()))


def test_a_dashboard_keeps_no_line_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    line = ProgressLine(SimpleNamespace(kernel=object(), execution_count=1), list)
    monkeypatch.setattr(line, "_display", lambda text, progress: shown.append(text))
    monkeypatch.setenv("WORKBENCH_DASHBOARD", "traffic")
    line(Progress(2.0, 10, 0, None))
    assert shown == []
    monkeypatch.delenv("WORKBENCH_DASHBOARD")
    line(Progress(2.5, 20, 0, None))
    assert shown == ["20 rows · 2.5 s"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"token": 5}', '{"hash": "ab"}', '{"token": "x", "more": ""}'])
def test_a_damaged_secret_lets_nobody_in_and_says_the_way_out(tmp_path: Path, text: str) -> None:
    access = Access(tmp_path / "viewer")
    access.token()
    (tmp_path / "viewer" / "access.json").write_text(text)
    for ask in (access.token, access.mark, lambda: access.fits("")):
        with pytest.raises(DocumentError, match=r"access\.json is damaged.*`workbench dashboards --new-link`"):
            ask()
    access.renew()
    assert access.fits(access.token() or "")


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["import workbench as wb\nwb.view(wb.streams.find('shop'))"], ()),
        (["# t = Topology('shop')", "print('Topology')"], ()),
        (["t = Topology('shop')\nrun = t.run()\nwb.view(run)"], ("runs one of its own",)),
        (["t = wb.streams.Topology('shop')", "t.run()", "run.wait()"], ("runs one of its own", "waits for the end")),
    ],
)
def test_who_publishes_a_topology_is_told_that_each_page_runs_one(
    tmp_path: Path, write: Write, cells: list[str], said: tuple[str, ...]
) -> None:
    notes = publishing._notes(Dashboards(tmp_path / "documents").publish(write("x.ipynb", *cells)))
    assert bool(notes) == bool(said)
    assert all(words in notes[0] for words in said)
    assert ("waits for the end" in "".join(notes)) == ("waits for the end" in said)
