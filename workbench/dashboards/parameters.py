"""Parameters that a dashboard's address may carry: declared in the notebook, checked before it runs.

    asked = wb.parameters(country={"type": "string", "enum": ["all", "DE", "FR"], "default": "all"},
                          days={"type": "integer", "minimum": 1, "maximum": 365, "default": 28})
    asked.days

`workbench publish` reads that call without running it, so it is made of literals and stands once in a notebook.
"""

from __future__ import annotations

import ast
import datetime
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from workbench.contract.errors import InvalidParameter, UsageError, near

__all__ = ["ENVIRONMENT", "RESERVED", "checked", "declared_in", "given", "parameters"]

ENVIRONMENT = "WORKBENCH_PARAMETERS"
"""The variable in which a viewer's values reach the notebook, as JSON."""
RESERVED = ("theme", "token")
"""Keys of an address that are never a notebook's."""
LONGEST = 200
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TYPES = ("string", "integer", "number", "boolean", "date")
_WORDS = {"type", "default", "enum", "minimum", "maximum", "maxLength"}
_INTEGER = re.compile(r"-?[0-9]{1,15}")
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")


def parameters(**declared: Mapping[str, Any]) -> SimpleNamespace:
    """The values of the address that the dashboard was opened with, else the defaults, as attributes.

    Each is declared by words of JSON Schema: `type` (string, integer, number, boolean, date) and `default`; where it
    helps `enum`, `minimum`, `maximum`, `maxLength` (200 at most). Dates are written `2026-11-28` and come as
    `datetime.date`. Raises InvalidParameter for a declaration or a value that does not fit.
    """
    schema = checked(declared)
    sent = json.loads(os.environ.get(ENVIRONMENT, "{}"))
    values = {name: sent.get(name, one["default"]) for name, one in schema.items()}
    for name, one in schema.items():
        values[name] = _native(one, _fits(name, one, values[name]))
    return SimpleNamespace(**values)


def checked(declared: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The declarations as plain JSON. Raises InvalidParameter for one that says nothing clear."""
    schema = {}
    for name, one in declared.items():
        if not _NAME.fullmatch(name) or name in RESERVED:
            raise InvalidParameter(name, "cannot be in an address: small letters, digits and `_`, and not `theme`.")
        if not isinstance(one, Mapping) or one.get("type") not in _TYPES or "default" not in one:
            raise InvalidParameter(name, f"needs a `default` and a `type`, which is one of {', '.join(_TYPES)}.")
        if unknown := sorted(set(one) - _WORDS):
            raise InvalidParameter(name, f"has `{unknown[0]}`, which is none of {', '.join(sorted(_WORDS))}.")
        if "enum" in one and not (isinstance(one["enum"], (list, tuple)) and one["enum"]):
            raise InvalidParameter(name, "has an `enum` that is no list of values.")
        schema[name] = {word: _plain(value) for word, value in one.items()}
        for word in ("minimum", "maximum"):
            if word in one:
                _fits(name, {"type": one["type"]}, schema[name][word])
        if not isinstance(one.get("maxLength", 0), int):
            raise InvalidParameter(name, "has a `maxLength` that is no whole number.")
        for value in (*schema[name].get("enum", ()), schema[name]["default"]):
            _fits(name, schema[name], value)
    return schema


def given(schema: Mapping[str, Mapping[str, Any]], sent: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The values of an address's query, as plain JSON. Raises InvalidParameter for a name that is not declared, one
    that is given twice, and a value that does not fit; nothing is mended."""
    values = {}
    for name, texts in sent.items():
        if name not in schema:
            known = near(name, schema)
            there = f" Did you mean `{known[0]}`?" if known else ""
            raise InvalidParameter(name[:40], f"is not one of this dashboard.{there}")
        if len(texts) != 1:
            raise InvalidParameter(name, "is given more than once.")
        values[name] = _fits(name, schema[name], _parsed(name, schema[name], texts[0]))
    return values


def declared_in(cells: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What the call of `parameters` in these code cells declares; nothing where there is none. Raises InvalidParameter
    or UsageError where it cannot be read without running it."""
    calls = [call for source in cells for call in _calls(source)]
    if not calls:
        return {}
    if len(calls) > 1:
        raise UsageError("wb.parameters() stands more than once in the notebook: declare all of them in one call.")
    if calls[0].args or any(word.arg is None for word in calls[0].keywords):
        raise UsageError("wb.parameters() takes each parameter by its name: parameters(days={...}).")
    found = {}
    for word in calls[0].keywords:
        try:
            found[str(word.arg)] = ast.literal_eval(word.value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            raise InvalidParameter(str(word.arg), "must be declared by literals, since it is read unrun.") from None
    return checked(found)


def _calls(source: str) -> list[ast.Call]:
    try:
        tree = ast.parse("\n".join("" if line.lstrip()[:1] in ("%", "!") else line for line in source.splitlines()))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        if re.search(r"\bparameters\s*\(\s*[a-z]\w*\s*=\s*\{", source):
            raise UsageError(
                "wb.parameters() stands in a cell that is not plain Python: give it one of its own."
            ) from None
        return []
    names = (ast.Name, ast.Attribute)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, names)]
    return [one for one in calls if ast.unparse(one.func) in ("wb.parameters", "workbench.parameters")]


def _parsed(name: str, one: Mapping[str, Any], text: str) -> Any:
    kind = one["type"]
    if kind == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "number" and _NUMBER.fullmatch(text):
        return float(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    if kind in ("string", "date"):
        return text
    raise InvalidParameter(name, f"must be {'true or false' if kind == 'boolean' else f'of type {kind}'}.")


def _fits(name: str, one: Mapping[str, Any], value: Any) -> Any:
    kind = one["type"]
    classes: dict[str, tuple[type, ...]] = {"integer": (int,), "number": (int, float), "boolean": (bool,)}
    wanted = classes.get(kind, (str,))
    if type(value) not in wanted or (isinstance(value, float) and not math.isfinite(value)):
        raise InvalidParameter(name, f"must be of type {kind}.")
    if kind == "date" and not _date(value):
        raise InvalidParameter(name, "must be a date such as 2026-11-28.")
    if kind == "string":
        longest = min(LONGEST, one.get("maxLength", LONGEST))
        if len(value) > longest or not value.isprintable():
            raise InvalidParameter(name, f"must be printable text of {longest} characters at most.")
    if "enum" in one and value not in one["enum"]:
        raise InvalidParameter(name, f"must be one of {', '.join(map(str, one['enum']))}.")
    if "minimum" in one and value < one["minimum"]:
        raise InvalidParameter(name, f"must be {one['minimum']} or more.")
    if "maximum" in one and value > one["maximum"]:
        raise InvalidParameter(name, f"must be {one['maximum']} or less.")
    return value


def _date(text: str) -> bool:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _native(one: Mapping[str, Any], value: Any) -> Any:
    return datetime.date.fromisoformat(value) if one["type"] == "date" else value


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, datetime.date) else value
