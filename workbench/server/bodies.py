"""Bodies of requests: JSON as the interface's description says, and nothing else."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

__all__ = ["LARGEST", "BodyRefused", "description", "parsed", "query_names", "validated"]

LARGEST = 256 << 10
"""Bytes of the largest body."""
DEEPEST = 32
_FILE = Path(__file__).with_name("openapi.json")


class BodyRefused(ValueError):
    """Why a body is not taken: a sentence."""


@functools.lru_cache(maxsize=1)
def description() -> dict[str, Any]:
    """The interface: `openapi.json`."""
    loaded: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return loaded


@functools.cache
def query_names(path: str, verb: str) -> tuple[str, ...]:
    """What may be asked in the query string of a path, as the description writes both."""
    asked = description()["paths"].get(f"/{path}", {}).get(verb.lower(), {}).get("parameters", ())
    return tuple(one["name"] for one in asked if one["in"] == "query")


def parsed(body: bytes) -> Any:
    """What the JSON says. Raises BodyRefused for what is too large, too deep, not UTF-8 or not JSON, for a key that is
    there twice, and for numbers that JSON does not have."""
    if len(body) > LARGEST:
        raise BodyRefused(f"The body has {len(body):,} bytes; {LARGEST:,} is the most.")
    if _depth(body) > DEEPEST:
        raise BodyRefused(f"The body is nested more than {DEEPEST} levels deep.")
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite
        )
        json.dumps(value, ensure_ascii=False).encode()  # halves of surrogate pairs, which no text can hold
        return value
    except UnicodeEncodeError:
        raise BodyRefused("The body has half a surrogate pair.") from None
    except UnicodeDecodeError:
        raise BodyRefused("The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise BodyRefused(f"The body is not JSON: {error.msg} at character {error.pos}.") from None
    except BodyRefused:
        raise
    except ValueError as error:  # a number with thousands of digits
        raise BodyRefused(f"The body cannot be read: {error}.") from None


def validated(body: Any, schema: str) -> dict[str, Any]:
    """The body, if it is what the description calls `schema`. Raises BodyRefused with the place that does not fit."""
    from jsonschema import Draft202012Validator

    whole = {"$ref": f"#/components/schemas/{schema}", "components": description()["components"]}
    for error in Draft202012Validator(whole).iter_errors(body):
        where = "/".join(str(part) for part in error.absolute_path) or "the body"
        # Messages of the validator repeat the value, and a value may be a password.
        raise BodyRefused(f"`{where[:200]}` does not fit: {_why(error)}.")
    assert isinstance(body, dict)
    return body


def _why(error: Any) -> str:
    kind, wanted = str(error.validator), error.validator_value
    if kind == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {})
        return f"it has a property `{next(name for name in error.instance if name not in known)[:100]}`"
    if kind == "required" and isinstance(error.instance, dict):
        return f"`{next(name for name in wanted if name not in error.instance)}` is missing"
    return f"{kind} is {json.dumps(wanted)[:200]}"


def _depth(body: bytes) -> int:
    """At most as deep as its brackets, those in texts included, which nobody has by the dozen."""
    depth = deepest = 0
    for sign in body:
        if sign in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif sign in b"]}":
            depth -= 1
    return deepest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BodyRefused("The body has a key twice.")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BodyRefused("The body has a number that is too large.")
    return value


def _no_number(name: str) -> Any:
    raise BodyRefused(f"The body has the number {name}, which JSON does not have.")
