"""One statement as three: what each part of a table comes to by itself, how parts are put together, and what is made of
them in the end. By DuckDB's own parse tree, so that it means what DuckDB takes it for.

An aggregate is taken apart into such as can be added up: `avg(x)` is `sum(x)` and `count(x)`; the argument of a
`count(distinct x)` becomes one more key of the groups. What cannot be taken apart is refused, never guessed.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.query.distributable import (
    RESERVED,
    aggregate_names,
    checked,
    is_order_all,
    ordered,
    settled,
    tables_of,
    unsettled,
)
from workbench.query.means import mean
from workbench.query.trees import (
    Node,
    argument,
    bare,
    base,
    cast,
    cast_plain,
    column,
    constant,
    function,
    number,
    parsed,
    quoted,
    refused,
    same,
    walk,
    written,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["WHOLE", "Distributed", "Exchange", "distributed", "parameters_of", "tables_of", "types_of"]

WHOLE = f"{RESERVED}parts"
"""The table of parts in `merge` and `last`."""
_ADDED = {"sum": "sum", "count": "sum", "count_star": "sum", "count_if": "sum", "min": "min", "max": "max",
          "bool_and": "bool_and", "bool_or": "bool_or", "any_value": "any_value", "sum_no_overflow": "sum"}  # fmt: skip
_COUNTS = ("count", "count_star")
"""What is nought where there is nothing. `count_if` is a sum to DuckDB: NULL there, and as wide as one."""
_MEANS = ("avg", "mean")
_DISTINCT = ("count", "sum", "avg", "mean", "min", "max")
Types = Callable[[str], Sequence[str]]
_KEY, _SUM = f"{RESERVED}key ", f"{RESERVED}sum "


@dataclass(frozen=True)
class Exchange:
    """How parts that are too large for one place come together: they are dealt out by the hash of their columns at the
    positions `keys`, so that what belongs together meets. Of a partition, merged, the rows `each` are rows of the
    result, and `together` puts all of them in order. Or `then`: a partition comes to parts of that statement, which is
    asked of the merged partition (`WHOLE`), and whose parts are put together in their turn."""

    keys: tuple[int, ...]
    each: str = ""
    together: str = ""
    then: Distributed | None = None


@dataclass(frozen=True)
class Distributed:
    """`first` is asked of each part of the table `driving`, `merge` of parts that are put together (`WHOLE`), `last` of
    the last of them, whose columns are `names`. `broadcast` are the other tables, which `first` wants whole. `groups`
    says that rows are added up, not only handed on; where they are, columns of parts are by position: `c0`, `c1`, ….
    `settled`: the rows of any part are rows of the result, and nothing of it has to be merged. `bounded`: it has a
    LIMIT."""

    driving: str
    broadcast: tuple[str, ...]
    first: str
    merge: str
    last: str
    groups: bool
    names: tuple[str, ...]
    settled: bool = False
    bounded: bool = False
    exchange: Exchange | None = None


def distributed(
    sql: str,
    engine: DuckDBPyConnection,
    driving: str,
    columns: Mapping[str, Sequence[str]],
    shape: Sequence[tuple[str, str]],
    types: Types | None = None,
) -> Distributed:
    """`sql` names tables as they are registered; `columns` are each table's, `shape` names and types of the result,
    `types` says those of another statement's: without it, averages may have other last digits than the whole has.
    Raises Unsupported with the part of the statement that cannot be taken apart."""
    node = parsed(sql, engine)["statements"][0]["node"]
    if node["type"] == "SELECT_NODE":
        node = {**node, "from_table": settled(node["from_table"], columns)}
    checked(node, driving, columns)
    others = tuple(dict.fromkeys(name for name in tables_of(node) if name != driving))
    if _aggregates(node, engine):
        return _Grouped(node, engine, columns, shape, types).made(driving, others)
    return _handed_on(node, engine, driving, others, [name for name, _ in shape])


def parameters_of(sql: str, engine: DuckDBPyConnection) -> set[str]:
    """The parameters that a statement names."""
    return {one["identifier"] for one in walk(parsed(sql, engine)) if one.get("type") == "VALUE_PARAMETER"}


def types_of(cursor: DuckDBPyConnection, parser: DuckDBPyConnection, parameters: Mapping[str, object]) -> Types:
    """For `distributed`: by way of a cursor that knows the tables."""

    def types(sql: str) -> Sequence[str]:
        named = parameters_of(sql, parser)
        return list(map(str, cursor.sql(sql, params={one: parameters[one] for one in named} or None).types))

    return types


def _handed_on(
    node: Node, engine: DuckDBPyConnection, driving: str, others: tuple[str, ...], names: Sequence[str]
) -> Distributed:
    """Rows, not sums: each part is filtered, and cut where an order and a limit say so."""
    modifiers = {one["type"]: one for one in node["modifiers"]}
    distinct, limit = "DISTINCT_MODIFIER" in modifiers, modifiers.get("LIMIT_MODIFIER")
    order = modifiers.get("ORDER_MODIFIER")
    first = copy.deepcopy(node)
    by, hidden = _order(order, node, names)
    if hidden and distinct:
        raise refused("DISTINCT with an ORDER BY of what is not among the columns")
    first["select_list"] += [{**copy.deepcopy(one), "alias": f"{RESERVED}order {at}"} for at, one in enumerate(hidden)]
    kept = [one for one in first["modifiers"] if one["type"] == "DISTINCT_MODIFIER"]
    shown = ", ".join(f"c{at}" for at in range(len(names)))
    chosen, ordered = f"select {'distinct ' if distinct else ''}", f" order by {by}" if by else ""
    together, last = f"{chosen}* from {quoted(WHOLE)}", f"{chosen}{shown} from {quoted(WHOLE)}{ordered}"
    if limit is not None:
        most, skipped = number(limit["limit"]), number(limit["offset"])
        if most is None or skipped is None:
            raise refused("a LIMIT that is no number")
        last += f" limit {most} offset {skipped}"
        together += f"{ordered} limit {most + skipped}"
        kept += [copy.deepcopy(order)] if order is not None else []
        kept.append({**copy.deepcopy(limit), "limit": constant(most + skipped), "offset": None})
    first["modifiers"] = kept
    settled = not distinct and limit is None
    exchange = Exchange(tuple(range(len(names))), together, last) if distinct else None
    return Distributed(
        driving, others, written(first, engine), together, last, False,
        tuple(names), settled, limit is not None, exchange,
    )  # fmt: skip


def _order(order: Node | None, node: Node, names: Sequence[str]) -> tuple[str, list[Node]]:
    """The order by columns by position, and what is to be added to the columns for it."""
    said, hidden = [], list[Node]()
    for one in order["orders"] if order is not None else ():
        expression = one["expression"]
        how = ordered(one)
        if is_order_all(expression):
            said += [f"c{at}{how}" for at in range(len(names))]
            continue
        at = _position(expression, node, names)
        if at is None:
            hidden.append(expression)
            at = len(names) + len(hidden)
        said.append(f"c{at - 1}{how}")
    return ", ".join(said), hidden


def _position(expression: Node, node: Node, names: Sequence[str]) -> int | None:
    """Which column of the result it is, from 1. A name alone is an alias before it is a column."""
    if expression["class"] == "CONSTANT" and (ordinal := number(expression)) is not None:
        if not 1 <= ordinal <= len(names):
            raise refused(f"an ORDER BY {ordinal}")
        return ordinal
    items = node["select_list"]
    spread = len(items) != len(names) or any(one.get("class") == "STAR" for one in walk(items))
    if expression["class"] == "COLUMN_REF" and len(expression["column_names"]) == 1:
        wanted = expression["column_names"][0].lower()
        aliased = any(item["alias"].lower() == wanted for item in items)
        found = [at for at, name in enumerate(names, 1) if name.lower() == wanted]
        if aliased and len(found) != 1:
            raise refused(f"an ORDER BY of `{expression['column_names'][0]}`, which is {len(found)} columns,")
        if found and (aliased or (spread and len(found) == 1 and node["from_table"]["type"] == "BASE_TABLE")):
            return found[0]
    if spread:
        return None
    return next((at for at, item in enumerate(items, 1) if same(item, expression)), None)


@dataclass
class _Grouped:
    """Takes a statement with groups or aggregates apart."""

    node: Node
    engine: DuckDBPyConnection
    columns: Mapping[str, Sequence[str]]
    shape: Sequence[tuple[str, str]]
    types: Types | None = None
    apart: str = ""
    """A column whose equal values of a group lie in one part: what its DISTINCT values come to in parts is added up."""
    grouped: bool = False
    keys: list[Node] = field(default_factory=list)
    partial: list[tuple[str, Node, str]] = field(default_factory=list)
    """Of each column of sums: its name, what it is of one part, and how it is added up."""

    def made(self, driving: str, others: tuple[str, ...]) -> Distributed:
        node = self.node
        items = node["select_list"]
        self._check(items)
        groups = self._groups(items)
        if len(node["group_sets"]) > 1 and any(self._same(a, b) for a, b in itertools.combinations(groups, 2)):
            raise refused("ROLLUP, CUBE or GROUPING SETS of the same twice")
        self.keys, self.grouped = list(groups), bool(groups)
        last = copy.deepcopy(node)
        shown = zip(items, self.shape, strict=True)
        last["select_list"] = [cast(self._final(item), kind, name, self.engine) for item, (name, kind) in shown]
        last["having"] = None if node["having"] is None else self._final(node["having"])
        for modifier in last["modifiers"]:
            for one in modifier.get("orders", ()):
                if one["expression"]["class"] not in ("CONSTANT", "STAR") and not self._is_alias(one["expression"]):
                    one["expression"] = self._final(one["expression"])
        last |= {"from_table": base(WHOLE), "where_clause": None, "aggregate_handling": "STANDARD_HANDLING"}
        last["group_expressions"] = [column(f"{_KEY}{at}") for at in range(len(groups))]
        if node["aggregate_handling"] == "FORCE_AGGREGATES":
            last["group_sets"] = [list(range(len(groups)))] if groups else []
        first = copy.deepcopy(node)
        named = [{**copy.deepcopy(key), "alias": f"{_KEY}{at}"} for at, key in enumerate(self.keys)]
        first["select_list"] = named + [{**copy.deepcopy(one), "alias": name} for name, one, _ in self.partial]
        first |= {"having": None, "modifiers": [], "aggregate_handling": "STANDARD_HANDLING"}
        first["group_expressions"] = [copy.deepcopy(key) for key in self.keys]
        first["group_sets"] = [list(range(len(self.keys)))] if self.keys else []
        if not first["select_list"]:
            raise refused("a statement without groups and sums")
        names = [quoted(f"{_KEY}{at}") for at in range(len(self.keys))]
        sums = [f"{how}({quoted(name)}) as {quoted(name)}" for name, _, how in self.partial]
        by = f" group by {', '.join(names)}" if names else ""
        merge = f"select {', '.join([*names, *sums])} from {quoted(WHOLE)}{by}"
        return Distributed(
            driving, others, written(first, self.engine), merge, written(last, self.engine), True,
            tuple(name for name, _ in self.shape), False,
            any(one["type"] == "LIMIT_MODIFIER" for one in last["modifiers"]), self._exchange(last, len(groups)),
        )  # fmt: skip

    def _exchange(self, last: Node, groups: int) -> Exchange | None:
        """Groups are dealt out by their keys; the values of one DISTINCT with their group, as a group may have many."""
        simple = [len(one) == groups for one in last["group_sets"]] in ([], [True])
        values = len(self.keys) - groups
        if not simple or not self.keys or (groups == 0 and values > 1):
            return None
        if values == 1:
            columns = {WHOLE: [f"{_KEY}{at}" for at in range(len(self.keys))] + [name for name, _, _ in self.partial]}
            inner = _Grouped(copy.deepcopy(last), self.engine, columns, self.shape, apart=f"{_KEY}{groups}")
            inner.types = lambda _: [self._kind(self.keys[groups])]
            then = inner.made(WHOLE, ())
            return Exchange(tuple(range(len(self.keys))), then=then)
        return self._settled(last, groups)

    def _settled(self, last: Node, groups: int) -> Exchange | None:
        modifiers = {one["type"]: one for one in last["modifiers"]}
        names = [name for name, _ in self.shape]
        distinct, limit = "DISTINCT_MODIFIER" in modifiers, modifiers.get("LIMIT_MODIFIER")
        # By the statement's own order: an expression over parts no longer looks like the column that it is.
        own = next((one for one in self.node["modifiers"] if one["type"] == "ORDER_MODIFIER"), None)
        by, hidden = _order(own, self.node, names)
        each = copy.deepcopy(last)
        each["select_list"] += [{**self._final(one), "alias": f"{RESERVED}order {at}"} for at, one in enumerate(hidden)]
        each["modifiers"] = [one for one in each["modifiers"] if one["type"] == "DISTINCT_MODIFIER"]
        shown = ", ".join(f"c{at}" for at in range(len(names)))
        together = f"select {'distinct ' if distinct else ''}{shown} from {quoted(WHOLE)}"
        together += f" order by {by}" if by else ""
        if limit is not None:
            most, skipped = number(limit["limit"]), number(limit["offset"])
            if most is None or skipped is None:
                return None
            together += f" limit {most} offset {skipped}"
            each["modifiers"] += [copy.deepcopy(modifiers["ORDER_MODIFIER"])] if by else []
            each["modifiers"].append({**copy.deepcopy(limit), "limit": constant(most + skipped), "offset": None})
        if hidden and distinct:
            return None
        return Exchange(tuple(range(groups)), written(each, self.engine), together)

    def _groups(self, items: Sequence[Node]) -> list[Node]:
        if self.node["aggregate_handling"] == "FORCE_AGGREGATES":
            keys = [bare(item) for item in items if not self._holds_aggregate(item)]
            if any(one["class"] == "CONSTANT" for one in keys):
                raise refused("a constant among the groups")
            return keys
        found = []
        for one in self.node["group_expressions"]:
            if one["class"] == "CONSTANT" and (ordinal := number(one)) is not None:
                if not 1 <= ordinal <= len(items):
                    raise refused(f"a GROUP BY {ordinal}")
                one = items[ordinal - 1]
            elif one["class"] == "COLUMN_REF" and len(one["column_names"]) == 1:
                name = one["column_names"][0].lower()
                if not any(name == known.lower() for names in self.columns.values() for known in names):
                    aliased = next((item for item in items if item["alias"].lower() == name), None)
                    if aliased is not None and unsettled(self.node["from_table"]):
                        raise refused(f"a GROUP BY of the alias `{name}` beside a sub-query")
                    one = aliased if aliased is not None else one
            if one["class"] == "CONSTANT":
                raise refused("a constant among the groups")
            found.append(bare(one))
        return found

    def _check(self, items: Sequence[Node]) -> None:
        orders = [one["expression"] for level in self.node["modifiers"] for one in level.get("orders", ())]
        shown = [items, self.node["having"], self.node["group_expressions"], [o for o in orders if not is_order_all(o)]]
        if len(items) != len(self.shape) or any(one.get("class") == "STAR" for one in walk(shown)):
            raise refused("a `*` beside groups")
        if any(one.get("class") == "LAMBDA" for one in walk(shown)):
            raise refused("a lambda beside groups")

    def _same(self, one: Node, other: Node) -> bool:
        """Whether they are the same expression, in whatever way their columns are written."""
        return same(self._plain(one), self._plain(other))

    def _plain(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._plain(one) for one in node]
        if not isinstance(node, dict) or node.get("class") == "SUBQUERY":  # names mean others in there
            return node
        if node.get("class") == "COLUMN_REF":
            return {**node, "column_names": self._bare_name([name.lower() for name in node["column_names"]])}
        return {name: self._plain(inner) for name, inner in node.items()}

    def _bare_name(self, names: list[str]) -> list[str]:
        """Without its table, where only that one has the column."""
        table = self.node["from_table"]
        if len(names) != 2 or unsettled(table):
            return names
        tables = {
            (one["alias"] or one["table_name"]).lower(): {name.lower() for name in self.columns[one["table_name"]]}
            for one in walk(table)
            if one.get("type") == "BASE_TABLE" and one["table_name"] in self.columns
        }
        alone = names[1] in tables.get(names[0], ()) and sum(names[1] in known for known in tables.values()) == 1
        return names[1:] if alone else names

    def _is_alias(self, node: Node) -> bool:
        return node["class"] == "COLUMN_REF" and len(node["column_names"]) == 1 and any(
            node["column_names"][0].lower() == item["alias"].lower() for item in self.node["select_list"]
        )  # fmt: skip

    def _holds_aggregate(self, node: Any) -> bool:
        names = aggregate_names()
        return any(one.get("class") == "FUNCTION" and one["function_name"].lower() in names for one in walk(node))

    def _final(self, node: Any) -> Any:
        """The expression over parts instead of rows."""
        if isinstance(node, list):
            return [self._final(one) for one in node]
        if not isinstance(node, dict):
            return node
        if "class" in node:
            for at, key in enumerate(self.keys):
                if self._same(node, key):
                    return {**column(f"{_KEY}{at}"), "alias": node["alias"]}
            if node["class"] == "SUBQUERY":
                raise refused("a sub-query beside groups")
            if node["class"] == "FUNCTION" and node["function_name"].lower() in aggregate_names():
                return {**self._added(node), "alias": node["alias"]}
        return {name: self._final(inner) for name, inner in node.items()}

    def _added(self, node: Node) -> Node:
        name = node["function_name"].lower()
        said = name if name != "count_star" else "count"
        if node["order_bys"]["orders"]:
            raise refused(f"`{said}` with an ORDER BY in it")
        if node["export_state"] or any(one["name"] for one in node["arguments"]):
            raise refused(f"`{said}` like this")
        if name in (*_ADDED, *_MEANS) and len(node["arguments"]) not in ((0, 1) if name in _COUNTS else (1,)):
            raise refused(f"`{said}` of {len(node['arguments'])} arguments")
        if (
            node["distinct"]
            and not self._is_apart(node)
            and name not in ("min", "max", "any_value", "bool_and", "bool_or")
        ):
            if name not in _DISTINCT or node["filter"] is not None or len(node["arguments"]) != 1:
                raise refused(f"`{said}` of DISTINCT values like this")
            return {**copy.deepcopy(node), "arguments": [argument(self._key(node["arguments"][0]["expression"]))]}
        if name in _MEANS:
            total, count = self._part(node, "sum", "sum"), self._part(node, "count", "sum")
            if self.grouped:
                kind = self._kind(node["arguments"][0]["expression"])
                made = mean(total["column_names"][0], count["column_names"][0], kind, self.engine)
                if made is not None:
                    return made
            divisor = function("nullif", function("sum", count), constant(0))
            return function("/", cast_plain(function("sum", total), "double", self.engine), divisor)
        if name not in _ADDED:
            raise refused(f"`{said}`")
        whole = function(_ADDED[name], self._part(node, node["function_name"], _ADDED[name]))
        if name not in _COUNTS:
            return whole
        # As wide as a count, or an expression around it would be of other types.
        return cast_plain(function("coalesce", whole, constant(0), operator="OPERATOR_COALESCE"), "bigint", self.engine)

    def _kind(self, expression: Node) -> str:
        """Its type, over the rows; empty where nobody can say it."""
        if self.types is None:
            return ""
        plain: Node = {"group_expressions": [], "group_sets": [], "having": None, "modifiers": []}
        asked = {**copy.deepcopy(self.node), **plain, "select_list": [bare(expression)]}
        return self.types(written({**asked, "aggregate_handling": "STANDARD_HANDLING"}, self.engine))[0]

    def _is_apart(self, node: Node) -> bool:
        return bool(self.apart) and [one["expression"].get("column_names") for one in node["arguments"]] == [
            [self.apart]
        ]

    def _key(self, expression: Node) -> Node:
        plain = bare(expression)
        at = next((at for at, key in enumerate(self.keys) if self._same(key, plain)), None)
        if at is None:
            at = len(self.keys)
            self.keys.append(plain)
        return column(f"{_KEY}{at}")

    def _part(self, node: Node, name: str, how: str) -> Node:
        """The column of one sum; the same sum has one column."""
        made = {**copy.deepcopy(node), "function_name": name, "qualified_name": {"path": [name]}, "alias": ""}
        made["distinct"] = node["distinct"] and self._is_apart(node)
        found = next((known for known, one, by in self.partial if same(one, made) and by == how), None)
        if found is None:
            found = f"{_SUM}{len(self.partial)}"
            self.partial.append((found, made, how))
        return column(found)


def _aggregates(node: Node, engine: DuckDBPyConnection) -> bool:
    if node["group_expressions"] or node["having"] is not None or node["aggregate_handling"] == "FORCE_AGGREGATES":
        return True
    names = aggregate_names()
    listed = [node["select_list"], [one.get("orders") for one in node["modifiers"]]]
    return any(one.get("class") == "FUNCTION" and one["function_name"].lower() in names for one in walk(listed))
