"""Whether a component's code can be called as it will be, looked at before anything runs: a method that is a generator
or a coroutine would be called, and nothing of it would happen.

The standard library only: it travels to Storm's workers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from workbench.contract.errors import InvalidParameter
from workbench.streams.base import Bolt, Component, Spout
from workbench.streams.component import FunctionBolt, FunctionSpout, IteratorSpout

__all__ = ["check_code"]

_GIVEN: Mapping[str, tuple[int, str]] = {
    "open": (3, "three arguments: config, context and collector"),
    "prepare": (3, "three arguments: config, context and collector"),
    "next_tuple": (0, "no argument"),
    "rows": (0, "no argument"),
    "execute": (1, "one argument, the tuple"),
    "execute_batch": (1, "one argument, the batch"),
}
"""What a runner calls methods with."""
_GENERAL = (Bolt, Spout, IteratorSpout, FunctionBolt, FunctionSpout)


def check_code(id: str, component: Component) -> None:  # noqa: A002
    """Raises InvalidParameter."""
    kind: Any = type(component)
    if isinstance(component, FunctionSpout):
        given = "its context where it has a parameter"
        _check(id, component.function, _name(component.function), _least(component.function), given)
        return
    if isinstance(component, FunctionBolt):
        given = f"one argument, the {'batch' if component.batch else 'tuple'}"
        _check(id, component.function, _name(component.function), 1, given)
        return
    if isinstance(component, Spout) and kind.next_tuple in (Spout.next_tuple, IteratorSpout.next_tuple):
        iterates = isinstance(component, IteratorSpout)
        if not iterates or kind.rows is IteratorSpout.rows:
            missing = "rows" if iterates else "next_tuple"
            raise InvalidParameter("code", f"of `{id}`: {kind.__name__} has no `{missing}`, so it would give nothing.")
    for name, (number, given) in _GIVEN.items():
        method = getattr(kind, name, None)
        if method is None or any(method is getattr(one, name, None) for one in _GENERAL):
            continue
        called = getattr(component, name)
        _check(id, called, f"{kind.__name__}.{name}", number, given)
        if name != "rows" and inspect.isgeneratorfunction(called):
            raise InvalidParameter(
                "code",
                f"of `{id}`: `{kind.__name__}.{name}` has a `yield`, so calling it does nothing. Emit by "
                "self.collector.emit(…); rows are yielded by plain functions.",
            )


def _check(id: str, code: Callable[..., Any], name: str, number: int, given: str) -> None:  # noqa: A002
    if inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code):
        raise InvalidParameter(
            "code",
            f"of `{id}`: `{name}` is async, and nobody awaits it: components are called. Write it without async, or "
            "have a thread of its own run its loop.",
        )
    if (why := _refuses(code, number)) is not None:
        raise InvalidParameter("code", f"of `{id}`: `{name}{why}` is called with {given}.")


def _refuses(code: Callable[..., Any], number: int) -> str | None:
    """Its parameters, where it cannot be called with so many arguments."""
    try:
        signature = inspect.signature(code)
    except (TypeError, ValueError):  # of a function in C, nothing may be known
        return None
    try:
        signature.bind(*[None] * number)
    except TypeError:
        names = ", ".join(str(one.replace(annotation=one.empty)) for one in signature.parameters.values())
        return f"({names})"
    return None


def _least(code: Callable[..., Any]) -> int:
    """How many arguments a spout's function is called with."""
    try:
        return min(1, len(inspect.signature(code).parameters))
    except (TypeError, ValueError):
        return 0


def _name(code: Any) -> str:
    return str(getattr(code, "__name__", None) or type(code).__name__)
