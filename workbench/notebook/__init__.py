"""SQL in notebook cells: magics, completion, progress, short errors, and the kernel that `workbench lab` starts.

`%load_ext workbench` calls `load`. It is cheap: nothing that asks or draws is imported before the first use.
"""

from __future__ import annotations

from typing import Any

__all__ = ["load", "unload"]

_LOADED = "_workbench_loaded"


def load(shell: Any) -> None:
    """The magics `%sql`, `%%sql` and `%%bolts`, completion in SQL, and short errors, for one IPython shell. Loading it
    again changes nothing."""
    if getattr(shell, _LOADED, None):
        return
    from workbench.notebook import bolts, completion, faults, figures, magics, showing

    parts = [faults.install(), magics.install(shell), bolts.install(shell)]
    parts += [showing.install(shell), completion.install(shell)]
    parts.append(figures.install(completion.prepared))
    setattr(shell, _LOADED, parts)


def unload(shell: Any) -> None:
    """Takes back all that `load` did."""
    for undo in reversed(getattr(shell, _LOADED, None) or []):
        undo()
    setattr(shell, _LOADED, None)
