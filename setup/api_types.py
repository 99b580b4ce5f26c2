"""Writes extensions/lab/src/api.ts from the server's openapi.json: `python setup/api_types.py` (`--check` compares).

What the description has beyond this handful of forms is refused, so that no type says less than is meant.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "workbench" / "server" / "openapi.json"
TARGET = ROOT / "extensions" / "lab" / "src" / "api.ts"

HEADER = """\
// Written by setup/api_types.py from workbench/server/openapi.json; `make check` fails when it is behind.
"""
SIMPLE = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
VERBS = ("get", "post", "put", "delete")
CHECKED_ELSEWHERE = {"description", "default", "minLength", "maxLength", "minimum", "maximum", "maxProperties",
                     "minItems", "maxItems", "pattern", "format"}  # fmt: skip
"""What a type of TypeScript cannot say."""


def typed(schema: Mapping[str, Any], indent: str = "") -> str:
    """The type of a schema's values."""
    known = {
        "$ref",
        "enum",
        "const",
        "oneOf",
        "anyOf",
        "type",
        "items",
        "properties",
        "required",
        "additionalProperties",
    }
    if unknown := schema.keys() - known - CHECKED_ELSEWHERE:
        raise SystemExit(f"setup/api_types.py does not know {', '.join(sorted(unknown))} in {json.dumps(schema)[:200]}")
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema or "const" in schema:
        return " | ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    for either in ("oneOf", "anyOf"):
        if either in schema:
            return " | ".join(dict.fromkeys(typed(one, indent) for one in schema[either]))
    kinds = schema.get("type")
    if kinds is None:
        return "unknown"
    return " | ".join(_kind(kind, schema, indent) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _kind(kind: str, schema: Mapping[str, Any], indent: str) -> str:
    if kind == "array":
        return f"Array<{typed(schema.get('items', {}), indent)}>"
    if kind != "object":
        return SIMPLE[kind]
    more = schema.get("additionalProperties", "properties" not in schema)
    if "properties" not in schema:
        return f"Record<string, {typed(more, indent) if isinstance(more, dict) else 'unknown'}>"
    return (
        "\n".join(["{", *_properties(schema, indent + "  "), indent + "}"])
        if schema["properties"]
        else "Record<string, never>"
    )


def _properties(schema: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, one in schema["properties"].items():
        yield from _comment(one.get("description", ""), indent)
        mark = "" if name in schema.get("required", ()) else "?"
        yield f"{indent}{name}{mark}: {typed(one, indent)};"


def _comment(text: str, indent: str = "") -> Iterator[str]:
    if text:
        yield f"{indent}/** {text.replace('*/', '* /')} */"


def written(document: Mapping[str, Any]) -> str:
    """The whole module: a type for each schema, and what each address takes and answers."""
    lines = [HEADER]
    for name, schema in document["components"]["schemas"].items():
        lines += [*_comment(schema.get("description", "")), f"export type {name} = {typed(schema)};", ""]
    lines += ["/** By verb and address: what goes into the address's query, what is sent, what is answered. */"]
    lines += ["export interface Interface {"]
    for path, item in document["paths"].items():
        for verb in (verb for verb in VERBS if verb in item):
            lines += _operation(f"{verb.upper()} {path}", item[verb])
    return "\n".join([*lines, "}", ""])


def _operation(key: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield from _comment(operation.get("summary", ""), "  ")
    yield f"  {json.dumps(key)}: {{"
    asked = [one for one in operation.get("parameters", []) if one["in"] == "query"]
    query = "; ".join(
        f"{one['name']}{'' if one.get('required') else '?'}: {typed(one['schema'], '    ')}" for one in asked
    )
    yield f"    query: {'{ ' + query + ' }' if query else 'Record<string, never>'};"
    yield f"    body: {_content(operation.get('requestBody', {}))};"
    good = [answer for code, answer in operation["responses"].items() if code.startswith(("1", "2"))]
    yield f"    answer: {' | '.join(dict.fromkeys(map(_content, good)))};"
    yield "  };"


def _content(described: Mapping[str, Any]) -> str:
    content = described.get("content", {})
    if "application/json" in content:
        return typed(content["application/json"].get("schema", {}), "    ")
    return "ArrayBuffer" if content else "undefined"


def main() -> int:
    text = written(json.loads(SOURCE.read_text("utf-8")))
    if "--check" not in sys.argv:
        TARGET.write_text(text, "utf-8")
    elif not TARGET.is_file() or TARGET.read_text("utf-8") != text:
        print("extensions/lab/src/api.ts does not fit openapi.json: run .venv/bin/python setup/api_types.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
