"""A topology as a document: components by the name that imports them and by their plain arguments.

The standard library only: it travels to Storm's workers.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any

from workbench.contract.errors import DocumentError
from workbench.streams.component import Component, FunctionBolt, FunctionSpout
from workbench.streams.groupings import Grouping
from workbench.streams.topology import Input, Node, Topology
from workbench.streams.windows import WindowSpec

__all__ = ["KIND", "VERSION", "from_document", "imported", "references", "to_document"]

KIND, VERSION = "topologies", 1


def to_document(topology: Topology) -> dict[str, Any]:
    components = {node.id: _node(topology.name, node) for node in topology.nodes.values()}
    return {"name": topology.name, "config": _plain(topology.name, topology.given), "components": components}


def _node(name: str, node: Node) -> dict[str, Any]:
    component = node.component
    args, kwargs = component.arguments
    body: dict[str, Any] = {"kind": node.kind, "parallelism": node.parallelism}
    if isinstance(component, FunctionSpout | FunctionBolt):
        body["code"] = _importable(name, node.id, component.function)
        body["outputs"] = {stream: list(fields) for stream, fields in node.outputs.items()}
        body["batch"] = component.batch
        if isinstance(component, FunctionSpout) and component.repeats:
            body["repeats"] = True
    else:
        body["code"] = _importable(name, node.id, type(component))
        body["arguments"] = _plain(name, [list(args), kwargs])
    if node.kind == "bolt":
        if node.window is not None:
            body["window"] = node.window.document()
        body["inputs"] = [_input(name, node.id, one) for one in node.inputs]
    return body


def _input(name: str, id: str, one: Input) -> dict[str, Any]:  # noqa: A002
    grouping = one.grouping
    body: dict[str, Any] = {"component": one.component, "stream": one.stream, "grouping": grouping.kind}
    if grouping.fields:
        body["fields"] = list(grouping.fields)
    if grouping.choose is not None:
        body["choose"] = _importable(name, id, grouping.choose)
    return body


def _importable(name: str, id: str, code: Any) -> str:  # noqa: A002
    module, path = getattr(code, "__module__", ""), getattr(code, "__qualname__", "")
    if not module or module == "__main__" or "<" in path:
        where = "as a lambda" if path.endswith("<lambda>") else "inside of a function"
        where = "in the notebook" if module == "__main__" else where
        raise DocumentError(
            f"{KIND}/{name}",
            f"cannot hold component `{id}`: `{path or code}` is written {where}, and others cannot import it. "
            "Put it at the top of a module of its own, or into a cell that begins with `%%bolts name`.",
        )
    return f"{module}:{path}"


def _plain(name: str, values: Any) -> Any:
    try:
        return json.loads(json.dumps(values, allow_nan=False))
    except (TypeError, ValueError) as error:
        why = f"cannot be kept: an argument is no plain value ({error}). Give text, numbers, lists or dicts."
        raise DocumentError(f"{KIND}/{name}", why) from None


def from_document(body: Mapping[str, Any]) -> Topology:
    name = str(body.get("name", "?"))
    try:
        topology = Topology(name, **body["config"])
        for id, one in body["components"].items():  # noqa: A001
            _added(topology, id, one)
    except (KeyError, TypeError, AttributeError) as error:
        raise DocumentError(f"{KIND}/{name}", f"is damaged: {type(error).__name__}: {error}.") from None
    return topology


def _added(topology: Topology, id: str, one: Mapping[str, Any]) -> None:  # noqa: A002
    code = imported(topology.name, id, one["code"])
    if isinstance(code, type) and issubclass(code, Component):
        args, kwargs = one["arguments"]
        made: Component = code(*args, **kwargs)
    else:
        function = code.function if isinstance(code, FunctionSpout | FunctionBolt) else code
        outputs = {stream: tuple(fields) for stream, fields in one["outputs"].items()}
        if one["kind"] == "spout":
            made = FunctionSpout(function, outputs, one["batch"], bool(one.get("repeats")))
        else:
            made = FunctionBolt(function, outputs, one["batch"])
    if one["kind"] == "spout":
        topology.spout(id, made, parallelism=one["parallelism"])
        return
    inputs = [
        Input(
            given["component"],
            given["stream"],
            Grouping(
                given["grouping"],
                tuple(given.get("fields", ())),
                imported(topology.name, id, given["choose"]) if "choose" in given else None,
            ),
        )
        for given in one["inputs"]
    ]
    window = WindowSpec.of_document(one["window"]) if "window" in one else None
    topology.bolt(id, made, inputs=inputs, parallelism=one["parallelism"], window=window)


def references(body: Mapping[str, Any]) -> list[str]:
    """All code that a document names."""
    found = [one["code"] for one in body["components"].values()]
    return found + [
        given["choose"] for one in body["components"].values() for given in one.get("inputs", ()) if "choose" in given
    ]


def imported(name: str, id: str, reference: str) -> Any:  # noqa: A002
    """What a reference names. Raises DocumentError."""
    module, _, path = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        why = f"names `{reference}` for component `{id}`, which cannot be imported here: {error}."
        raise DocumentError(f"{KIND}/{name}", why) from None
    if not callable(found) and not isinstance(found, Component):
        raise DocumentError(f"{KIND}/{name}", f"names `{reference}` for component `{id}`, which is no code.")
    return found
