"""A connection that is there is replaced only by one that works."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.catalog import Catalog
from workbench.contract.errors import NotReplaced, QueryFailed
from workbench.contract.secret import Secret


def test_what_does_not_work_leaves_the_old_one(catalog: Catalog) -> None:
    catalog.connect("shop", "toy://u@h/d", secret=Secret("old"))
    before = catalog.saved("shop")
    with pytest.raises(NotReplaced, match=r"`shop` stays .*\(u@h/d\).*it is broken.*test=False"):
        catalog.connect("shop", "toy://u@h/broken", secret=Secret("new"))
    assert catalog.saved("shop") == before
    (reference,) = before.secrets.values()
    assert catalog.secrets.find(reference).reveal() == "old"
    assert catalog.test("shop").product == "Toy"


def test_a_secret_that_is_not_there_leaves_the_old_one(catalog: Catalog) -> None:
    catalog.connect("shop", "toy://u@h/d")
    with pytest.raises(NotReplaced, match="NO_SUCH_VARIABLE"):
        catalog.connect("shop", "toy://u@h/e", secret="env:NO_SUCH_VARIABLE")
    assert catalog.saved("shop").parameters["database"] == "d"


def test_it_is_replaced_all_the_same_where_that_is_said(catalog: Catalog) -> None:
    catalog.connect("shop", "toy://u@h/d")
    catalog.connect("shop", "toy://u@h/broken", test=False)
    assert catalog.saved("shop").parameters["database"] == "broken"
    catalog.connect("shop", "toy://u@h/broken")  # the same again loses nothing
    catalog.connect("shop", "toy://u@h/other")
    assert catalog.saved("shop").parameters["database"] == "other"


def test_a_new_name_is_not_tried(catalog: Catalog) -> None:
    catalog.connect("shop", "toy://u@h/broken")
    with pytest.raises(QueryFailed):
        catalog.test("shop")


def test_files_and_databases_that_are_gone_or_broken(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "home")
    good = tmp_path / "good.csv"
    good.write_text("a\n1\n")
    catalog.connect("shop", path=good)
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no end")
    (tmp_path / "cut.duckdb").write_bytes(b"no database" * 1000)
    for name, why in (
        ("gone.csv", "there is no such file"),
        ("cut.parquet", "cut.parquet cannot be read as a Parquet file"),
        ("gone.duckdb", "gone.duckdb"),
        ("cut.duckdb", "not a valid DuckDB database|valid"),
    ):
        with pytest.raises(NotReplaced, match=why):
            catalog.connect("shop", path=tmp_path / name)
        assert catalog.saved("shop").parameters["path"] == str(good)
    catalog.close()
