"""`%sql` and `%%sql`: `wb.sql` in a cell of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from workbench.contract.errors import Cancelled, UsageError, WorkbenchError
from workbench.notebook.options import HELP, Options, parse

if TYPE_CHECKING:
    from workbench.query.session import Session

__all__ = ["SqlMagics", "install"]


@magics_class
class SqlMagics(Magics):
    """The magics of one shell. `session` is `wb`'s own, so that both see the same temporary tables."""

    @property
    def session(self) -> Session:
        from workbench.query.session import default

        return default()

    @property
    def _variables(self) -> dict[str, Any]:
        assert self.shell is not None
        variables: dict[str, Any] = self.shell.user_ns
        return variables

    # IPython would paste `$name` and `{name}` into the line; values are bound instead.
    @no_var_expand
    @line_cell_magic
    def sql(self, line: str, cell: str | None = None) -> object:
        options = parse(line)
        if options.help or (cell is None and not line.strip()):
            print(HELP)
            return None
        text = options.sql if cell is None else f"{options.sql}\n{cell}" if options.sql else cell
        if not text.strip():
            raise UsageError("There is no SQL in this cell. `%%sql --help` says what can be written.")
        try:
            return self._done(options, text)
        except WorkbenchError as error:
            error.statement = text  # type: ignore[attr-defined]  # for the caret below the place
            raise
        except KeyboardInterrupt:
            # What ran is stopped by now, here and at the sources.
            raise Cancelled from None

    def _done(self, options: Options, text: str) -> object:
        """What the cell shows."""
        result = self._asked(options, text)
        if options.name:
            self._variables[options.name] = result
        if options.explain:
            return result.explain()
        if options.name:
            return None
        if options.rows is not None:
            result.show(options.rows)
            return None
        return result

    def _asked(self, options: Options, text: str) -> Any:
        if options.native:
            return self.session.native(options.native, text.strip())
        from workbench.query.namespace import Namespace

        return self.session.sql(text, on=options.on, variables=Namespace(self._variables))


def install(shell: Any) -> Callable[[], None]:
    """Registers them; the function that is returned takes them back."""
    magics = SqlMagics(shell)
    before = {kind: shell.magics_manager.magics[kind].get("sql") for kind in ("line", "cell")}
    shell.register_magics(magics)

    def undo() -> None:
        for kind, old in before.items():
            table = shell.magics_manager.magics[kind]
            if old is None:
                table.pop("sql", None)
            else:
                table["sql"] = old

    return undo
