"""plotly's figures on a dark page and on a bright one.

A figure is drawn once, and Lab's theme may change under it. So where plotly's own template (a white card) would be the
default, figures have no background, and text and lines in a grey that is read on both. A default that the user sets,
before or later, is theirs. `WORKBENCH_PLOTLY=off` leaves plotly as it is.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["NAME", "install"]

NAME = "workbench"
"""Of the template, in `plotly.io.templates`."""
_OWN = "plotly"
_NONE, _TEXT, _GRID, _LINE = "rgba(0,0,0,0)", "#777777", "rgba(128,128,128,0.25)", "rgba(128,128,128,0.5)"


def install(before: Callable[[], None] = lambda: None) -> Callable[[], None]:
    """Sets the default when plotly is imported, which happens here in no case. `before` is called first then: plotly
    looks for pandas among the modules that there are, and must not find one that another thread is just importing."""
    if os.environ.get("WORKBENCH_PLOTLY", "").lower() in ("off", "0", "no"):
        return lambda: None
    hook = _WhenImported(before)
    if (loaded := sys.modules.get(hook.module)) is not None:
        _apply(loaded)
    else:
        sys.meta_path.insert(0, hook)

    def undo() -> None:
        if hook in sys.meta_path:
            sys.meta_path.remove(hook)
        plotly = sys.modules.get(hook.module)
        if plotly is not None and plotly.templates.default == NAME:
            plotly.templates.default = _OWN

    return undo


class _WhenImported(MetaPathFinder):
    """Has the module found by those who would have found it, and comes back once it was executed."""

    module = "plotly.io"

    def __init__(self, before: Callable[[], None]) -> None:
        self._before = before

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.module:
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(fullname, path, target) if find is not None else None
            if spec is not None:
                break
        else:
            return None
        if spec.loader is not None:
            execute = spec.loader.exec_module

            def and_then(module: ModuleType) -> None:
                self._before()
                execute(module)
                _apply(module)

            spec.loader.exec_module = and_then  # type: ignore[method-assign]
        return spec


def _apply(plotly: ModuleType) -> None:
    try:
        try:
            _set(plotly.templates)
        except AttributeError:
            # plotly looks into what is there of pandas; a thread that loads the catalog may just be importing it.
            for name in ("numpy", "pandas"):
                if name in sys.modules:
                    importlib.import_module(name)  # waits for that thread
            _set(plotly.templates)
    except Exception as error:  # noqa: BLE001 - another plotly than we know must not fail to be imported
        warnings.warn(f"plotly's figures keep their white background: {error}", RuntimeWarning, stacklevel=2)


def _set(templates: Any) -> None:
    if templates.default != _OWN:
        return
    # One whole template: names with a plus are merged anew for every figure, in some 50 ms.
    whole = templates[_OWN].to_plotly_json()
    _merge(whole["layout"], _layout())
    templates[NAME] = type(templates[_OWN])(whole, _validate=False)
    templates.default = NAME


def _merge(whole: dict[str, Any], part: dict[str, Any]) -> None:
    for name, value in part.items():
        if isinstance(value, dict) and isinstance(whole.get(name), dict):
            _merge(whole[name], value)
        else:
            whole[name] = value


def _layout() -> dict[str, Any]:
    axis = {"gridcolor": _GRID, "linecolor": _LINE, "zerolinecolor": _LINE}
    space = {**axis, "backgroundcolor": _NONE}
    round_axis = {"gridcolor": _GRID, "linecolor": _LINE}
    return {
        "paper_bgcolor": _NONE,
        "plot_bgcolor": _NONE,
        "font": {"color": _TEXT},
        "modebar": {"bgcolor": _NONE, "color": _LINE, "activecolor": _TEXT},
        "xaxis": axis,
        "yaxis": axis,
        "scene": {"xaxis": space, "yaxis": space, "zaxis": space},
        "polar": {"bgcolor": _NONE, "angularaxis": round_axis, "radialaxis": round_axis},
        "ternary": {"bgcolor": _NONE, "aaxis": round_axis, "baxis": round_axis, "caxis": round_axis},
        "geo": {"bgcolor": _NONE, "landcolor": _GRID, "lakecolor": _NONE, "subunitcolor": _LINE},
    }
