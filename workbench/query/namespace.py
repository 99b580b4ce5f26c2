"""The variables that a statement may name: a notebook's, or those of whoever called."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import FrameType

__all__ = ["Namespace", "caller"]


class Namespace:
    """Variables of some dictionaries, the first that has the name. `passing` are those of a function that is running:
    they come first."""

    def __init__(self, *spaces: Mapping[str, object], passing: Mapping[str, object] | None = None) -> None:
        self._spaces = spaces if passing is None else (passing, *spaces)
        self._used: dict[str, object] = {}
        self._passing = passing

    def settled(self) -> Namespace:
        """The same for later: of those that pass, the ones that were asked for, as they were then."""
        return self if self._passing is None else Namespace(self._used, *self._spaces[1:])

    def __call__(self, name: str) -> object:
        if self._passing is not None and name in self._passing:
            self._used[name] = self._passing[name]
            return self._used[name]
        for space in self._spaces:
            if name in space:
                return space[name]
        raise KeyError(name)

    def names(self) -> Iterable[str]:
        return list(dict.fromkeys(name for space in self._spaces for name in space if not name.startswith("_")))


def caller() -> Namespace:
    """The variables of whoever called: a notebook's, or the caller's locals and globals."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "workbench":
        frame = frame.f_back
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    notebook: Mapping[str, object] = shell.user_ns if shell is not None else {}
    if frame is None or str(frame.f_globals.get("__name__", "")).partition(".")[0] == "IPython":
        return Namespace(notebook)
    if frame.f_locals is frame.f_globals:
        return Namespace(frame.f_globals, notebook)
    return Namespace(frame.f_globals, notebook, passing=frame.f_locals)
