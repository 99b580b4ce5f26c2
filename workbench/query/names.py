"""Which tables a statement names, in the scopes of SQL, and the statement rewritten to the names under which DuckDB
gets them. DuckDB itself never looks a name up outside: what is not resolved here does not exist.

The rewriting cuts names out of the text and leaves the rest as it was written, so that each place in the new text
has one in the old.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, Generic, Protocol, TypeVar, cast

from workbench.contract.errors import SqlSyntaxError, StatementRefused
from workbench.query.functions import FILE_READERS, TABLE_FUNCTIONS, scalar_refusal
from workbench.query.statement import Statement
from workbench.query.tokens import Splice, Text, tokens

__all__ = ["Lookup", "Place", "Resolved", "resolve"]

_QUERY_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TABLE_NODES = frozenset(
    {"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "EMPTY_FROM", "PIVOT", "SHOW_REF"}
)
_NOWHERE = 1 << 40
"""DuckDB writes 2**64 - 1 where it keeps no place."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the statement a name stands, from 1; 0 is unknown."""

    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"(line {self.line}, column {self.column})" if self.line else ""


Target = TypeVar("Target")
Found = TypeVar("Found", covariant=True)


class Lookup(Protocol[Found]):
    """What finds the tables. Each target has a `key`; the same key is the same table. Both raise UnknownName and
    StatementRefused."""

    def table(self, parts: tuple[str, ...], place: Place) -> Found: ...

    def path(self, path: str, suffix: str, place: Place) -> Found: ...


@dataclass
class Resolved(Generic[Target]):
    """`sql` is what DuckDB runs, `targets` the tables in it by the names they are to be registered under.
    `references` counts mentions. `recursive`: DuckDB will ask for the same rows again and again."""

    sql: str
    splices: tuple[Splice, ...] = ()
    targets: dict[str, Target] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()
    references: int = 0
    recursive: bool = False


@dataclass
class _Scope:
    ctes: frozenset[str] = frozenset()
    tables: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    outer: _Scope | None = None


def resolve(statement: Statement, lookup: Lookup[Target]) -> Resolved[Target]:
    """Raises StatementRefused for a function or a form that is not allowed, and what `lookup` raises."""
    form = statement.form
    if form is not None and form.resolution is not None:
        again = form.resolution.again(statement, lookup)
        if again is not None:
            return cast("Resolved[Target]", again)
    resolver = _Resolver(statement, lookup)
    found = resolver.run()
    if form is not None:
        form.resolution = _Resolution(replace(found, targets={}), tuple(resolver.asked))  # keeps no frame alive
    return found


@dataclass(frozen=True, slots=True)
class _Asked:
    """A table that was looked up, and the name that it got."""

    parts: tuple[str, ...]
    path: tuple[str, str] | None
    place: Place
    name: str


@dataclass(frozen=True, slots=True)
class _Resolution:
    """What was found for one statement of a form. For the next, the tables alone are looked up again: the names that
    they get follow from which of them are the same."""

    found: Resolved[Any]
    asked: tuple[_Asked, ...]

    def again(self, statement: Statement, lookup: Lookup[Any]) -> Resolved[Any] | None:
        """None where the names would be others. Raises what `lookup` raises."""
        names: dict[Any, str] = {}
        targets: dict[str, Any] = {}
        for asked in self.asked:
            target = lookup.path(*asked.path, asked.place) if asked.path else lookup.table(asked.parts, asked.place)
            known = names.setdefault(_key(target), asked.name)
            if known != asked.name or (len(names) == len(targets)) != (asked.name in targets):
                return None
            targets.setdefault(asked.name, target)
        old = self.found
        sql = Splice.apply(statement.body, old.splices)
        return Resolved(sql, old.splices, targets, old.parameters, old.references, old.recursive)


def _key(target: Any) -> Any:
    return getattr(target, "key", None) or id(target)


class _Resolver(Generic[Target]):
    def __init__(self, statement: Statement, lookup: Lookup[Target]) -> None:
        self.statement, self.lookup = statement, lookup
        self.text = Text(statement.body)
        self.tokens = tokens(statement.body)
        self.starts = {token.start: number for number, token in enumerate(self.tokens)}
        self.splices: dict[int, Splice] = {}
        self.names: dict[Any, str] = {}
        self.queries = _with_names(statement.tree) if any(token.upper == "WITH" for token in self.tokens) else set()
        self.found: Resolved[Target] = Resolved(statement.body)
        self.unplaced: dict[tuple[str, ...], str] = {}
        self.parameters: dict[str, None] = {}
        self.aliases: dict[int, str] = {}
        self.asked: list[_Asked] = []

    def run(self) -> Resolved[Target]:
        waiting: list[tuple[Any, _Scope]] = [(self.statement.tree, _Scope())]
        while waiting:
            node, scope = waiting.pop()
            if isinstance(node, list):
                waiting.extend((item, scope) for item in reversed(node))
            elif isinstance(node, dict):
                waiting.extend(reversed(self.visit(node, scope)))
        self._place_the_unplaced()
        body = Splice.apply(self.statement.body, tuple(self.splices.values()))
        # DuckDB counts from the first letter in some of its errors, from the first blank in others: so there is none.
        blank, prefix = len(body) - len(body.lstrip(" \t\r\n\f\v")), self.statement.prefix
        if blank or prefix:
            self.splices[-1] = Splice(0, blank, prefix)
        self.found.sql, self.found.splices = prefix + body[blank:], tuple(self.splices.values())
        self.found.parameters = tuple(self.parameters)
        return self.found

    # --- the walk

    def visit(self, node: dict[str, Any], scope: _Scope) -> list[tuple[Any, _Scope]]:
        kind = node.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE"):
            return self.query(node, scope)
        if "sample" in node and "alias" in node and "class" not in node:
            if kind not in _TABLE_NODES:
                raise StatementRefused(f"The table form {kind}", "it is not known here; write a table or a sub-query")
            if kind == "BASE_TABLE":
                self.base_table(node, scope)
                return []
            if kind == "TABLE_FUNCTION":
                return self.table_function(node, scope)
            if kind == "SHOW_REF" and not node.get("query"):
                raise StatementRefused(
                    "SHOW",
                    "`describe connection.table` shows a table, `workbench.connection(name).tables()` lists them",
                )
        match node.get("class"):
            case "COLUMN_REF":
                self.column(node, scope)
            case "FUNCTION" | "WINDOW":
                self.function(node)
            case "PARAMETER":
                self.parameter(node)
        return [(value, scope) for value in node.values() if isinstance(value, (dict, list))]

    def query(self, node: dict[str, Any], scope: _Scope) -> list[tuple[Any, _Scope]]:
        kind = node["type"]
        if kind not in _QUERY_NODES:
            raise StatementRefused(kind.removesuffix("_NODE").removesuffix("_QUERY"), "only queries run here")
        work: list[tuple[Any, _Scope]] = []
        ctes = scope.ctes
        for entry in (node.get("cte_map") or {}).get("map", ()):
            name = str(entry["key"]).casefold()
            work.append((entry["value"], _Scope(ctes, outer=scope)))
            ctes |= {name}
        if kind == "RECURSIVE_CTE_NODE":
            self.found.recursive = True
            ctes |= {str(node.get("cte_name", "")).casefold()}
        inner = _Scope(ctes, outer=scope)
        if kind == "SELECT_NODE":
            inner.tables = self._direct_tables(node.get("from_table"))
        work.extend((value, inner) for key, value in node.items() if key != "cte_map")
        return work

    def _direct_tables(self, root: Any) -> list[tuple[tuple[str, ...], str]]:
        """Tables without an alias that this SELECT reads itself, with the alias each gets."""
        found: list[tuple[int, tuple[str, ...]]] = []
        waiting = [root]
        while waiting:
            node = waiting.pop()
            if not isinstance(node, dict):
                continue
            if node.get("type") in ("JOIN", "PIVOT"):
                waiting += [node.get("left"), node.get("right"), node.get("source")]
            elif node.get("type") == "BASE_TABLE" and not node.get("alias"):
                found.append((id(node), _path(node)))
        last: dict[str, set[tuple[str, ...]]] = {}
        for _, path in found:
            last.setdefault(path[-1].casefold(), set()).add(tuple(part.casefold() for part in path))
        out = []
        for number, path in found:
            alias = path[-1] if len(last[path[-1].casefold()]) == 1 else ".".join(path)
            self.aliases[number] = alias
            out.append((path, alias))
        return out

    # --- tables

    def base_table(self, node: dict[str, Any], scope: _Scope) -> None:
        path = _path(node)
        if len(path) == 1 and path[0].casefold() in scope.ctes:
            return
        place = self._place(node)
        if node.get("at_clause"):
            raise StatementRefused("AT (a table's past)", f"it is not supported here {place}".rstrip())
        first = self._token(node)
        if first is None:
            self._unplaced_table(path)
            return
        if self.tokens[first].kind == "string":
            name, alias = self._by_path(path[-1], "", place), PurePath(path[-1]).stem
            end = self.tokens[first].end
        else:
            name, alias = self._by_name(path, place), path[-1]
            end = self.tokens[first + 2 * len(path) - 2].end
        alias = self.aliases.get(id(node), alias) if self.tokens[first].kind != "string" else alias
        self._splice(
            self.tokens[first].start, end, _quoted(name) + ("" if node.get("alias") else f" as {_quoted(alias)}")
        )

    def _unplaced_table(self, path: tuple[str, ...]) -> None:
        """`table x`, `describe x`, `summarize x`: DuckDB keeps no place for these names."""
        if path in self.unplaced:
            self.found.references += 1
            return
        at = next((n for n in range(len(self.tokens)) if self._names_at(n, path)), None)
        place = Place(*self.text.place(self.tokens[at].start)) if at is not None else Place()
        if at is not None and self.tokens[at].kind == "string":
            self.unplaced[path] = self._by_path(path[-1], "", place)
        else:
            self.unplaced[path] = self._by_name(path, place)

    def _place_the_unplaced(self) -> None:
        for path, name in self.unplaced.items():
            placed = False
            for number in range(1, len(self.tokens)):
                before = self.tokens[number - 1].upper
                if before in ("TABLE", "DESCRIBE", "DESC", "SUMMARIZE") and self._names_at(number, path):
                    placed = True
                    end = self.tokens[number + 2 * len(path) - 2].end
                    start, new = self.tokens[number].start, _quoted(name)
                    if before == "TABLE":
                        start, new = self.tokens[number - 1].start, f"from {new} as {_quoted(path[-1])}"
                    self._splice(start, end, new)
            if not placed:
                raise SqlSyntaxError(f"The table {'.'.join(path)} cannot be found in the text; write `from` before it")

    def _names_at(self, number: int, path: tuple[str, ...]) -> bool:
        for step, part in enumerate(path):
            at = number + 2 * step
            if at >= len(self.tokens) or (step and self.tokens[at - 1].text != "."):
                return False
            token = self.tokens[at]
            written = token.text[1:-1].replace("''", "'") if token.kind == "string" else token.name
            if token.kind not in ("word", "quoted", "string") or written != part:
                return False
        return True

    def table_function(self, node: dict[str, Any], scope: _Scope) -> list[tuple[Any, _Scope]]:
        function = node.get("function") or {}
        name = str(function.get("function_name", "")).lower()
        place = self._place(node)
        if function.get("class") != "FUNCTION":
            raise StatementRefused(f"The table function `{name}`", "only plain calls are allowed")
        if name in FILE_READERS:
            self._file_reader(node, function, name, place)
            return []
        if name not in TABLE_FUNCTIONS or len(_path(function)) > 1:
            raise StatementRefused(
                f"The table function `{name}`",
                f"allowed are {', '.join(sorted(TABLE_FUNCTIONS))}; connect what it reads by name {place}".rstrip(),
            )
        return [(function.get("arguments"), scope)]

    def _file_reader(self, node: dict[str, Any], function: dict[str, Any], name: str, place: Place) -> None:
        arguments = function.get("arguments") or []
        literal = (arguments[0].get("expression") or {}).get("literal") if len(arguments) == 1 else None
        if not isinstance(literal, dict) or literal.get("kind") != "STRING" or arguments[0].get("name"):
            raise StatementRefused(
                f"`{name}` with more than one path in quotes",
                f"connect the folder with its settings: `workbench.connect(name, path=…)` {place}".rstrip(),
            )
        registered = self._by_path(str(literal["text"]), FILE_READERS[name], place)
        first = self._token(node)
        if first is None:
            raise SqlSyntaxError(f"The call of {name} cannot be found in the text")
        last, depth = first, 0
        while last < len(self.tokens):
            depth += (self.tokens[last].text == "(") - (self.tokens[last].text == ")")
            if self.tokens[last].text == ")" and depth == 0:
                break
            last += 1
        new = _quoted(registered)
        alias = "" if node.get("alias") else f" as {_quoted(name)}"
        self._splice(self.tokens[first].start, self.tokens[last].end, new + alias)

    def _by_name(self, parts: tuple[str, ...], place: Place) -> str:
        name = self._register(self.lookup.table(parts, place), ".".join(parts))
        self.asked.append(_Asked(parts, None, place, name))
        return name

    def _by_path(self, path: str, suffix: str, place: Place) -> str:
        name = self._register(self.lookup.path(path, suffix, place), path)
        self.asked.append(_Asked((), (path, suffix), place, name))
        return name

    def _register(self, target: Target, shown: str) -> str:
        self.found.references += 1
        key = _key(target)
        if key not in self.names:
            taken = {name.casefold() for name in self.names.values()} | self.queries
            name = shown
            while name.casefold() in taken:
                name += "'"
            self.names[key] = name
            self.found.targets[name] = target
        return self.names[key]

    # --- expressions

    def column(self, node: dict[str, Any], scope: _Scope | None) -> None:
        """`connection.schema.table.column` becomes `alias.column`."""
        names = tuple(str(part).casefold() for part in node.get("column_names", ()))
        first = self._token(node)
        if len(names) < 3 or first is None:
            return
        while scope is not None:
            for path, alias in scope.tables:
                for start in range(len(path) - 1):
                    prefix = tuple(part.casefold() for part in path[start:])
                    if len(names) > len(prefix) and names[: len(prefix)] == prefix:
                        end = self.tokens[first + 2 * len(prefix) - 2].end
                        self._splice(self.tokens[first].start, end, _quoted(alias))
                        return
            scope = scope.outer

    def function(self, node: dict[str, Any]) -> None:
        name = str(node.get("function_name", ""))
        if why := scalar_refusal(name):
            raise StatementRefused(f"The function `{name.lower()}`", f"{why} {self._place(node)}".rstrip())

    def parameter(self, node: dict[str, Any]) -> None:
        name = str(node.get("identifier", ""))
        if not name or name.isdigit():
            raise StatementRefused(
                "A parameter without a name",
                f"write `$name`, and give or have a variable `name` {self._place(node)}".rstrip(),
            )
        self.parameters[name] = None

    # --- places

    def _place(self, node: dict[str, Any]) -> Place:
        at = node.get("query_location", _NOWHERE)
        return Place(*self.text.place(self.text.character(at))) if at < _NOWHERE else Place()

    def _token(self, node: dict[str, Any]) -> int | None:
        at = node.get("query_location", _NOWHERE)
        return self.starts.get(self.text.character(at)) if at < _NOWHERE else None

    def _splice(self, start: int, end: int, new: str) -> None:
        self.splices[start] = Splice(start, end, new)


def _with_names(tree: Any) -> set[str]:
    """Names with a point of WITH queries, at any depth: DuckDB would take `a.t` for the query `"a.t"`."""
    found: set[str] = set()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            names = (str(entry["key"]).casefold() for entry in (node.get("cte_map") or {}).get("map", ()))
            found.update(name for name in names if "." in name)
            waiting.extend(node.values())
    return found


def _path(node: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(part) for part in (node.get("qualified_name") or {}).get("path", ()))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
