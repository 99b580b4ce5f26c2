"""`%%bolts name`: spouts and bolts in a cell that other processes can have."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from workbench.contract.errors import UsageError

__all__ = ["HELP", "BoltsMagics", "install"]

HELP = """\
%%bolts NAME [--help]
…spouts, bolts and what they need

Runs the cell as the module `workbench_bolts.NAME`, keeps its text, and has its names in the notebook, too. The cell
imports all that it uses: it does not see the notebook's variables. A topology whose components are in such cells runs
in processes of its own, t.run("processes"), which get the text. A cell that is run again is the module from then on;
build the topology again then.

--help                this text

%bolts                the cells that are kept, by name
"""


@magics_class
class BoltsMagics(Magics):
    """The magic of one shell."""

    # IPython would paste `$name` and `{name}` into the line.
    @no_var_expand
    @line_cell_magic
    def bolts(self, line: str, cell: str | None = None) -> object:
        from workbench.streams import travelling

        words = line.split()
        if "--help" in words or (words and cell is None):
            print(HELP)
            return None
        if cell is None:
            return list(travelling.kept())
        if len(words) != 1 or words[0].startswith("-"):
            raise UsageError(
                f"`%%bolts {line.strip()}` says no name. One is that of the cell's module: `%%bolts shop`; "
                "`%%bolts --help` says more."
            )
        assert self.shell is not None
        variables: dict[str, Any] = self.shell.user_ns
        try:
            made = travelling.module(words[0], cell, variables.keys())
        except NameError as error:
            if error.name in variables:
                error.add_note(
                    f"`{error.name}` is the notebook's. A %%bolts cell has only what it defines and imports itself."
                )
            raise
        variables |= _public(made)
        return None


def _public(made: ModuleType) -> dict[str, Any]:
    names = getattr(made, "__all__", None)
    if names is None:
        names = [name for name in vars(made) if not name.startswith("_")]
    return {name: getattr(made, name) for name in names}


def install(shell: Any) -> Callable[[], None]:
    """Registers it; the function that is returned takes it back."""
    tables = shell.magics_manager.magics
    before = {kind: tables[kind].get("bolts") for kind in ("line", "cell")}
    shell.register_magics(BoltsMagics(shell))

    def undo() -> None:
        for kind, old in before.items():
            if old is None:
                tables[kind].pop("bolts", None)
            else:
                tables[kind]["bolts"] = old

    return undo
