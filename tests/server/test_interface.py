"""The description says what the handlers do: every route and verb, and what they answer with."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tornado.httpclient import HTTPClientError

from tests.server.conftest import Ask, problem
from workbench.server.app import routes
from workbench.server.bodies import description
from workbench.server.handlers import Handler

VERBS = ("get", "post", "put", "patch", "delete")


def verbs(handler: type[Any]) -> set[str]:
    """Those that the handler itself has."""
    return {
        verb
        for verb in VERBS
        for one in handler.__mro__
        if one.__module__.startswith("workbench.") and verb in vars(one)
    }


def conforms(value: object, schema: str) -> None:
    """Fails where an answer is not what the description calls `schema`."""
    Draft202012Validator(
        {"$ref": f"#/components/schemas/{schema}", "components": description()["components"]}
    ).validate(value)


def test_every_route_and_verb_is_described_and_the_other_way_round() -> None:
    served = {(f"/{path}", verb) for path, handler in routes() for verb in verbs(handler)}
    described = {(path, verb) for path, item in description()["paths"].items() for verb in item if verb in VERBS}
    assert served == described


def test_every_schema_is_used_and_none_is_missing() -> None:
    text = str(description())
    used = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert used == set(description()["components"]["schemas"])


def test_every_schema_is_one() -> None:
    for schema in description()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_a_parameter_that_is_not_described_is_refused_by_name(ask: Ask) -> None:
    for query, said in (
        ({"serch": "x"}, "`serch` at this address: known are search, limit"),
        ({"limit": "1", "%s\u00e9": ""}, "`%s\u00e9`"),
        ({"1764376000000": "1"}, "`1764376000000`"),
    ):
        with pytest.raises(HTTPClientError) as caught:
            await ask("GET", "history", **query)
        assert caught.value.code == 400
        assert said in problem(caught)["message"]
    with pytest.raises(HTTPClientError) as caught:
        await ask("GET", "connectors", limit=1)
    assert "none is taken" in problem(caught)["message"]
    assert (await ask("GET", "history", limit=1, **{"1764376000000": ""}))["history"] == []


def test_parameters_of_paths_are_described() -> None:
    for path, item in description()["paths"].items():
        assert re.findall(r"\{(\w+)\}", path) == [one["name"] for one in item.get("parameters", [])]


@pytest.mark.parametrize("handler", [handler for _, handler in routes()], ids=lambda one: one.__name__)
def test_every_handler_asks_for_a_resource_of_ours_by_name(handler: type[Any]) -> None:
    assert str(handler.auth_resource).startswith("workbench:")
    if issubclass(handler, Handler):
        assert verbs(handler)
