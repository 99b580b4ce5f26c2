"""A connection's parameters against the manifest's schema. No message shows a value, for it may be a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from workbench.contract.connector import Manifest
from workbench.contract.errors import InvalidParameter, near

__all__ = ["converted", "known", "public", "secret_names", "shown", "validate", "with_defaults"]

_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


def properties(schema: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    return found


def secret_names(manifest: Manifest) -> list[str]:
    """Names of the secrets in the order of the schema: the first is the one that is prompted for."""
    return [name for name, schema in properties(manifest.parameters).items() if schema.get("secret")]


def public(manifest: Manifest) -> list[str]:
    return [name for name, schema in properties(manifest.parameters).items() if not schema.get("secret")]


def known(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def converted(name: str, text: str, schema: Mapping[str, Any]) -> Any:
    """The text of a URL as the schema's type. Raises InvalidParameter."""
    kinds = schema.get("type", "string")
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        match kind:
            case "integer" if re.fullmatch(r"-?[0-9]{1,18}", text):
                return int(text)
            case "number" if re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", text):
                return float(text)
            case "boolean" if text.lower() in _TRUE | _FALSE:
                return text.lower() in _TRUE
            case "string":
                return text
            case "array" if schema.get("items", {}).get("type", "string") == "string":
                return text.split(",")
    raise InvalidParameter(name, f"must be {shown(schema)}.")


def validate(who: str, parameters: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raises InvalidParameter: not on the list, of another type, out of range, or missing."""
    import jsonschema

    names = properties(schema)
    if not schema.get("additionalProperties", True):
        for name in parameters:
            if name not in names:
                close = near(name, names)
                did = f" Did you mean {known(close)}?" if close else ""
                raise InvalidParameter(_named(name), f"is not one of {who}: {known(names)}.{did}")
    try:
        json.dumps(dict(parameters), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise InvalidParameter(who, "must be plain JSON values.") from None
    error = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(dict(schema)).iter_errors(dict(parameters))
    )
    if error is None:
        return
    where = ".".join(str(step) for step in error.absolute_path)
    if error.validator == "required":
        missing = next((name for name in error.validator_value if name not in error.instance), "?")
        raise InvalidParameter(".".join(filter(None, (where, missing))), f"of {who} is missing.")
    raise InvalidParameter(where or who, f"must be {shown(error.schema)}.")


def with_defaults(parameters: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {name: one["default"] for name, one in properties(schema).items() if "default" in one}
    return {**defaults, **parameters}


def shown(schema: Mapping[str, Any]) -> str:
    """What a value must be, in words."""
    if "enum" in schema:
        return "one of " + ", ".join(json.dumps(value) for value in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    kinds = schema.get("type", "a fitting value")
    words = {"integer": "an integer", "number": "a number", "boolean": "true or false", "string": "a text",
             "array": "a list", "object": "a mapping", "null": "nothing"}  # fmt: skip
    said = " or ".join(words.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))
    for key, word in (
        ("minimum", "from {}"),
        ("exclusiveMinimum", "above {}"),
        ("maximum", "up to {}"),
        ("exclusiveMaximum", "below {}"),
        ("minLength", "of at least {} characters"),
        ("maxLength", "of at most {} characters"),
        ("pattern", "that matches {}"),
    ):
        if key in schema:
            said += " " + word.format(schema[key])
    return said


def _named(name: object) -> str:
    """A name that somebody typed, fit to be shown: a password that slipped in among the names is not."""
    return name if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) else "(not a name)"
