"""What a shown result gives to a notebook, and what it leaves for other processes: as long as it is held, no longer."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from tests.query.support import World, eventually
from workbench.contract.errors import UnknownResult, WorkbenchError
from workbench.execution.shared_reading import SharedReader
from workbench.query import showing
from workbench.query.engine import Limits


def files(world: World) -> list[Path]:
    folder = world.home / "results"
    return list(folder.iterdir()) if folder.exists() else []


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "has_grid", lambda: True)


def test_without_a_grid_nothing_is_shared(world: World) -> None:
    assert set(world.session.sql("select 1 as a")._repr_mimebundle_()) == {"text/html", "text/plain"}
    assert files(world) == []


@pytest.mark.usefixtures("grid")
def test_what_is_shown_is_shared_until_it_is_dropped(world: World) -> None:
    result = world.session.sql("select i as n, 'x' as word from range(100000) t(i)")
    result.wait()
    assert files(world) == []  # it has run, and nobody looked
    shown = result._repr_mimebundle_()
    assert "first 50 of 100,000 rows" in shown["text/html"]
    said = shown[showing.MIME]
    assert said["columns"] == [{"name": "n", "type": "int64"}, {"name": "word", "type": "string"}]
    assert (said["rows"], said["state"]) == (100_000, "done")
    assert result._repr_mimebundle_()[showing.MIME]["id"] == said["id"]
    reader = SharedReader(world.home / "results", said["id"])
    eventually(lambda: reader.refresh().state == "done")
    assert reader.rows == 100_000
    assert reader.refresh().title.startswith("select i as n")
    del result
    gc.collect()
    eventually(lambda: files(world) == [])
    with pytest.raises(UnknownResult):
        reader.refresh()


@pytest.mark.usefixtures("grid")
def test_closing_takes_the_files_away(world: World) -> None:
    result = world.session.sql("select 1 as a")
    result._repr_mimebundle_()
    assert files(world)
    result.close()
    assert files(world) == []


@pytest.mark.usefixtures("grid")
def test_a_capped_result_says_so_in_the_grid(world: World) -> None:
    session = world.another(limits=Limits(spool_rows=100))
    result = session.sql("select * from range(1000000)")
    result.wait()
    said = result._repr_mimebundle_()[showing.MIME]
    assert (said["rows"], said["state"]) == (100, "capped")
    reader = SharedReader(world.home / "results", said["id"])
    eventually(lambda: reader.refresh().state == "capped")
    assert reader.refresh().note == "capped at 100 rows, more rows exist"
    session.close()


@pytest.mark.usefixtures("grid")
def test_the_sources_estimate_is_told_of_a_table_that_is_shown_as_it_is(world: World) -> None:
    world.put("t", {"n": range(1_000)})
    session = world.another(limits=Limits(spool_rows=100))
    for text, estimate in (
        ("select n from shop.t", 1_000),
        ("select n from shop.t where n > 5", None),
        ("select n from shop.t limit 500", None),
        ("select n + 1 from shop.t", None),
    ):
        result = session.sql(text)
        reader = SharedReader(world.home / "results", result._repr_mimebundle_()[showing.MIME]["id"])
        assert reader.refresh().estimate == estimate, text
        result.close()
    session.close()


@pytest.mark.usefixtures("grid")
def test_an_error_shares_nothing(world: World) -> None:
    with pytest.raises(WorkbenchError):
        world.session.sql("select error('no') from range(3)")._repr_mimebundle_()
    assert files(world) == []


@pytest.mark.usefixtures("grid")
def test_a_folder_that_cannot_be_written_leaves_the_table(world: World, caplog: pytest.LogCaptureFixture) -> None:
    (world.home / "results").write_text("in the way")
    shown = world.session.sql("select 1 as a")._repr_mimebundle_()
    assert set(shown) == {"text/html", "text/plain"}
    assert "without its grid" in caplog.text
