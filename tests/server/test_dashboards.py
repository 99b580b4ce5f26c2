"""Publishing from Lab: a notebook of this server, and no other file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tornado.httpclient import HTTPClientError

from tests.dashboards.conftest import notebook
from tests.server.conftest import Ask, problem
from tests.server.test_interface import conforms
from workbench.catalog import Catalog, places
from workbench.dashboards import Dashboards
from workbench.dashboards.process import stop
from workbench.demo.shape import Shape


@pytest.fixture(autouse=True)
def no_viewer_stays(home: Path) -> Iterator[None]:
    yield
    stop(home)


@pytest.fixture
def root(jp_root_dir: Path) -> Path:
    return jp_root_dir


async def test_a_notebook_of_this_server(ask: Ask, root: Path, home: Path) -> None:
    (root / "deep").mkdir()
    (root / "deep" / "sales report.ipynb").write_text(json.dumps(notebook(["# Sales", "print(1)"])))
    made = await ask("POST", "dashboards", {"path": "deep/sales report.ipynb"})
    conforms(made, "Published")
    assert (made["name"], made["title"]) == ("sales-report", "Sales")
    assert Dashboards(places.documents(home)).get("sales-report").folder == str(root / "deep")
    assert (await ask("GET", "dashboards"))["names"] == ["sales-report"]
    address, _, token = made["link"].partition("#")
    session = requests.Session()
    session.get(address, timeout=20)
    form = {"password": token, "_xsrf": session.cookies["_xsrf"], "next": "/"}
    assert "Sales" in session.post(address.replace("d/sales-report", "login"), form, timeout=20).text
    again = await ask("POST", "dashboards", {"path": "deep/sales report.ipynb", "name": "sales"})
    assert again["link"].partition("#")[2] == token


OUTSIDE = ["../out.ipynb", "/../out.ipynb", "link.ipynb", "deep/../../out.ipynb"]
NONE = ["text.txt", "none.ipynb", "deep", "a\0b.ipynb", "x" * 4000]


@pytest.mark.parametrize("path", [*OUTSIDE, *NONE])
async def test_nothing_else(ask: Ask, root: Path, home: Path, path: str) -> None:
    outside = root.parent / "out.ipynb"
    outside.write_text(json.dumps(notebook(["print(1)"])))
    (root / "link.ipynb").symlink_to(outside)
    (root / "text.txt").write_text("{}")
    (root / "deep").mkdir()
    with pytest.raises(HTTPClientError) as caught:
        await ask("POST", "dashboards", {"path": path})
    assert caught.value.code == 404
    assert str(root.parent) not in problem(caught)["message"]
    assert Dashboards(places.documents(home)).names() == []


BODIES = [{}, {"path": ""}, {"path": 3}, {"path": "x.ipynb", "name": "n" * 65}, {"path": "x.ipynb", "host": "0.0.0.0"}]


@pytest.mark.parametrize("body", BODIES)
async def test_a_body_is_what_the_description_says(ask: Ask, body: dict[str, Any]) -> None:
    with pytest.raises(HTTPClientError) as caught:
        await ask("POST", "dashboards", body)
    assert caught.value.code == 400


async def test_what_is_no_notebook_is_refused_with_a_sentence(ask: Ask, root: Path) -> None:
    (root / "broken.ipynb").write_text("{}")
    with pytest.raises(HTTPClientError) as caught:
        await ask("POST", "dashboards", {"path": "broken.ipynb"})
    assert caught.value.code == 400
    assert "no Jupyter notebook" in problem(caught)["message"]


async def test_the_demo_shop_s(ask: Ask, home: Path) -> None:
    from workbench import demo

    catalog = Catalog(home)
    demo.ensure(catalog, Shape(scale=0.01))
    before = catalog.saved("web")
    made = await ask("POST", "dashboards/demo", {})
    conforms(made, "Published")
    assert made["name"] == "demo-shop"
    assert catalog.saved("web") == before, "the demo that is there is shown"
    catalog.close()


async def test_the_demo_does_not_read_somebody_s_own_web(ask: Ask, home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "hits.csv").write_text("a\n1\n")
    catalog = Catalog(home)
    catalog.connect("web", path=tmp_path / "mine")
    catalog.close()
    with pytest.raises(HTTPClientError) as caught:
        await ask("POST", "dashboards/demo", {})
    assert caught.value.code == 400
    assert "web" in problem(caught)["message"]
    assert Dashboards(places.documents(home)).names() == []
