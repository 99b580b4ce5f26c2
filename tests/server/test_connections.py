"""Connections by the interface: made, tried, changed, forgotten; a secret goes in and never comes out."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars
import pytest
from tornado.httpclient import HTTPClientError

from tests.server.conftest import Ask, problem
from tests.server.test_interface import conforms
from tests.services.mysql.server import Server
from workbench.server.services import Services

CANARY = "pä55 'w\"ord/9f3"


@pytest.fixture
def lake(tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "lake"
    folder.mkdir()
    polars.DataFrame({"id": [1, 2, 3], "name": ["a", None, "c"]}).write_parquet(folder / "items.parquet")
    return {"name": "lake", "connector": "files", "parameters": {"path": str(folder)}}


def _mysql(server: Server, **changes: Any) -> dict[str, Any]:
    parameters = {"host": server.host, "port": server.port, "user": "reader", "database": server.database}
    whole = {"name": "shop", "connector": "mysql", "parameters": parameters, "secrets": {"password": server.password}}
    return {**whole, **changes}


async def test_what_there_is_to_connect_to(ask: Ask) -> None:
    answer = await ask("GET", "connectors")
    for one in answer["connectors"]:
        conforms(one, "Connector")
    by_name = {one["name"]: one for one in answer["connectors"]}
    assert by_name["mysql"]["secrets"] == ["password"]
    assert all(by_name[name]["icon"].startswith("<svg ") for name in ("mysql", "duckdb", "files"))
    assert by_name["files"]["parameters"]["properties"]["path"]


async def test_a_connection_is_made_listed_changed_and_forgotten(ask: Ask, lake: dict[str, Any], home: Path) -> None:
    made = await ask("POST", "connections", lake)
    conforms(made, "Connection")
    assert (await ask("GET", "connections"))["connections"] == [{**made, "notes": []}]
    renamed = await ask("PUT", "connections/lake", {**lake, "name": "pond"})
    assert (renamed["name"], renamed["parameters"]) == ("pond", lake["parameters"])
    assert [one["name"] for one in (await ask("GET", "connections"))["connections"]] == ["pond"]
    assert await ask("DELETE", "connections/pond") is None
    assert (await ask("GET", "connections"))["connections"] == []


async def test_a_second_one_of_the_name_is_refused(ask: Ask, lake: dict[str, Any]) -> None:
    await ask("POST", "connections", lake)
    with pytest.raises(HTTPClientError) as caught:
        await ask("POST", "connections", lake)
    assert caught.value.code == 409


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"connector": "nope"}, 404, "nope"),
        ({"parameters": {"path": "/nowhere/at/all"}}, 400, "is not there"),
        ({"parameters": {"paht": "x"}}, 400, "paht"),
        ({"parameters": {}}, 400, "path"),
        ({"name": "a b"}, 400, "name"),
        ({"name": ""}, 400, "name"),
        ({"more": 1}, 400, "more"),
        ({"parameters": "x"}, 400, "parameters"),
        ({"secrets": {"password": "x"}}, 400, "secret"),
    ],
)
async def test_what_does_not_fit_is_said_by_name(
    ask: Ask, lake: dict[str, Any], changes: dict[str, Any], status: int, said: str
) -> None:
    with pytest.raises(HTTPClientError) as caught:
        await ask("POST", "connections", {**lake, **changes})
    assert caught.value.code == status
    conforms(problem(caught), "Problem")
    assert said in problem(caught)["message"]
    assert (await ask("GET", "connections"))["connections"] == []


async def test_an_unknown_one_has_near_names(ask: Ask, lake: dict[str, Any]) -> None:
    await ask("POST", "connections", lake)
    with pytest.raises(HTTPClientError) as caught:
        await ask("POST", "connections/lakr/test")
    assert caught.value.code == 404
    assert "Did you mean `lake`?" in problem(caught)["message"]


async def test_trying_says_who_answered_or_why_not(ask: Ask, mariadb: Server) -> None:
    answer = await ask("POST", "connectors/test", _mysql(mariadb))
    conforms(answer, "ServerInfo")
    assert "MariaDB" in answer["product"] + answer["version"]
    with pytest.raises(HTTPClientError) as caught:
        await ask("POST", "connectors/test", _mysql(mariadb, secrets={"password": CANARY}))
    assert (caught.value.code, problem(caught)["type"]) == (502, "AuthenticationFailed")
    with pytest.raises(HTTPClientError) as caught:
        await ask("POST", "connectors/test", _mysql(mariadb, parameters={"host": "127.0.0.1", "port": 1}))
    assert (caught.value.code, problem(caught)["type"]) == (502, "Unreachable")
    assert (await ask("GET", "connections"))["connections"] == []


async def test_a_kept_secret_is_used_for_the_same_server_and_no_other(ask: Ask, mariadb: Server) -> None:
    await ask("POST", "connections", _mysql(mariadb))
    assert await ask("POST", "connections/shop/test")
    edited = _mysql(mariadb, secrets={})
    edited["parameters"]["connect_timeout"] = 5
    assert await ask("POST", "connectors/test", edited)
    await ask("PUT", "connections/shop", edited)
    assert await ask("POST", "connections/shop/test")
    await ask("PUT", "connections/shop", {**edited, "name": "store"})
    assert await ask("POST", "connections/store/test")
    edited["parameters"]["user"] = "admin"
    with pytest.raises(HTTPClientError):
        await ask("POST", "connectors/test", {**edited, "name": "store"})


async def test_an_edit_that_renames_is_tried_with_the_kept_secret_and_shows_it_to_no_other_place(
    ask: Ask, mariadb: Server
) -> None:
    await ask("POST", "connections", _mysql(mariadb))
    renamed = _mysql(mariadb, name="store", secrets={})
    with pytest.raises(HTTPClientError) as caught:
        await ask("POST", "connectors/test", renamed)  # another connection than that one, for all that is said
    assert problem(caught)["type"] == "AuthenticationFailed"
    assert await ask("POST", "connectors/test", {**renamed, "before": "shop"})
    assert await ask("POST", "connectors/test", {**renamed, "name": "Shop", "before": "shop"})
    elsewhere = {**renamed, "before": "shop", "parameters": {**renamed["parameters"], "user": "admin"}}
    with pytest.raises(HTTPClientError) as caught:
        await ask("POST", "connectors/test", elsewhere)
    assert problem(caught)["type"] == "AuthenticationFailed"
    with pytest.raises(HTTPClientError) as caught:
        await ask("POST", "connectors/test", {**renamed, "before": "shop", "secrets": {"password": CANARY}})
    assert problem(caught)["type"] == "AuthenticationFailed"
    assert [one["name"] for one in (await ask("GET", "connections"))["connections"]] == ["shop"]


async def test_of_two_that_are_made_at_once_under_one_name_one_is(
    ask: Ask, lake: dict[str, Any], tmp_path: Path
) -> None:
    for turn in range(5):
        bodies = []
        for number in range(6):
            folder = tmp_path / f"{turn}-{number}"
            folder.mkdir()
            bodies.append({**lake, "name": f"c{turn}", "parameters": {"path": str(folder)}})
        answers = await asyncio.gather(*(ask("POST", "connections", one) for one in bodies), return_exceptions=True)
        made = [one for one in answers if isinstance(one, dict)]
        refused = [one.code for one in answers if isinstance(one, HTTPClientError)]
        assert (len(made), refused) == (1, [409] * 5)
        assert (await ask("GET", f"connections/c{turn}"))["parameters"] == made[0]["parameters"]


async def test_a_secret_is_in_no_answer_and_no_document(
    ask: Ask, jp_fetch: Any, mariadb: Server, home: Path, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    """C12."""
    body = _mysql(mariadb, secrets={"password": CANARY})
    answers = [
        await ask("POST", "connections", body),
        await ask("GET", "connections"),
        await ask("GET", "connections/shop"),
    ]
    for request in (
        ("POST", "connections/shop/test", None),
        ("POST", "connectors/test", body),
        ("GET", "catalog/shop/tables", None),
    ):
        with pytest.raises(HTTPClientError) as caught:
            await ask(*request)
        answers.append(problem(caught))
    documents = [path.read_text() for path in home.rglob("connections/*") if path.is_file()]
    assert documents
    everything = json.dumps(answers, ensure_ascii=False) + caplog.text + "".join(documents) + repr(vars(services))
    for form in (CANARY, quote(CANARY), base64.b64encode(CANARY.encode()).decode(), json.dumps(CANARY)[1:-1]):
        assert form not in everything


async def test_a_damaged_document_is_shown_with_what_is_wrong(ask: Ask, lake: dict[str, Any], home: Path) -> None:
    await ask("POST", "connections", lake)
    (document,) = [path for path in home.rglob("*lake*") if path.is_file()]
    document.write_text("{")
    (one,) = (await ask("GET", "connections"))["connections"]
    assert one["problem"]
    conforms(one, "Connection")


async def test_one_that_works_is_not_replaced_by_one_that_does_not(ask: Ask, mariadb: Server) -> None:
    before = await ask("POST", "connections", _mysql(mariadb))
    gone = _mysql(mariadb, parameters={"host": "127.0.0.1", "port": 1, "user": "reader"})
    with pytest.raises(HTTPClientError) as caught:
        await ask("PUT", "connections/shop", gone)
    assert problem(caught)["type"] == "NotReplaced"
    assert (await ask("GET", "connections/shop"))["where"] == before["where"]
    assert "127.0.0.1:1" in (await ask("PUT", "connections/shop", {**gone, "test": False}))["where"]


@pytest.mark.parametrize("name", ["test", "connections", "views"])
async def test_a_connection_may_be_named_like_what_is_done_with_one(ask: Ask, lake: dict[str, Any], name: str) -> None:
    await ask("POST", "connections", {**lake, "name": name})
    assert (await ask("GET", f"connections/{name}"))["name"] == name
    assert (await ask("PUT", f"connections/{name}", {**lake, "name": name, "writable": True}))["writable"] is True
    assert (await ask("POST", f"connections/{name}/test"))["product"]
    await ask("DELETE", f"connections/{name}")
    assert (await ask("GET", "connections"))["connections"] == []
