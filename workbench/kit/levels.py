"""How far a source applied a predicate, lifted from its leaves over AND, OR and NOT.

A connector says what it can do with one comparison; the rest follows from logic, and is the same for every source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from workbench.contract.predicate import And, Applied, Compare, In, IsNull, Not, Or, Predicate

__all__ = ["Fragment", "folded", "lift"]

T = TypeVar("T")


@dataclass(frozen=True)
class Fragment:
    """A predicate in the source's words, and how it is applied; `text` is empty where `applied` is NONE.

    A leaf that says EXACT has the same truth value as in DuckDB for every row, NULL included: NOT relies on it.
    Its text binds tighter than NOT and AND. SUPERSET is TRUE wherever DuckDB is. `reason` says why it is not EXACT.
    """

    text: str
    applied: Applied
    reason: str = ""


def lift(predicate: Predicate, leaf: Callable[[Predicate], Fragment], *, deepest: int | None = None) -> Fragment:
    """The whole predicate's fragment, made of what `leaf` says about each Compare, In and IsNull.

    AND takes whatever its operands offer (EXACT only when all are), OR needs something from every operand and is as
    good as the weakest, NOT needs EXACT below. Texts are in parentheses, so they can be joined as they are; operators
    of the same kind in a row are flattened and a double NOT is dropped. Where more than `deepest` parentheses would
    nest, it is NONE: the parsers of sources give up, or worse. Any depth of predicate: no recursion.
    """
    done: list[tuple[Fragment, int]] = []  # finished operands with the depth of their text, last in first out
    waiting: list[tuple[Predicate, bool]] = [(predicate, False)]
    while waiting:
        node, operands_done = waiting.pop()
        if isinstance(node, Compare | In | IsNull):
            done.append((leaf(node), 0))
            continue
        if isinstance(node, Not) and isinstance(node.operand, Not) and not operands_done:
            waiting.append((node.operand.operand, False))
            continue
        below = (node.operand,) if isinstance(node, Not) else _flat(node)
        if not operands_done:
            waiting.append((node, True))
            waiting.extend((operand, False) for operand in reversed(below))
            continue
        parts = done[-len(below) :]
        del done[-len(below) :]
        depth = 1 + max(depth for _, depth in parts)
        fragments = [fragment for fragment, _ in parts]
        if deepest is not None and depth > deepest:
            done.append((Fragment("", Applied.NONE, f"nested deeper than {deepest}"), 0))
        elif isinstance(node, And):
            done.append((_and(fragments), depth))
        elif isinstance(node, Or):
            done.append((_or(fragments), depth))
        else:
            done.append((_not(fragments[0]), depth))
    return done.pop()[0]


def folded(
    predicate: Predicate,
    leaf: Callable[[Compare | In | IsNull, bool], T],
    joined: Callable[[list[T], bool], T],
) -> T:
    """Without NOT, for languages that have opposites of their comparisons: `leaf` gets each comparison and whether it
    is negated, `joined` what became of some operands and whether all of them are to hold, or any (by De Morgan's
    laws). Any depth of predicate: no recursion."""
    done: list[T] = []
    waiting: list[tuple[Predicate, bool, bool]] = [(predicate, False, False)]
    while waiting:
        node, negated, operands_done = waiting.pop()
        if isinstance(node, Compare | In | IsNull):
            done.append(leaf(node, negated))
        elif isinstance(node, Not):
            waiting.append((node.operand, not negated, False))
        elif not operands_done:
            waiting.append((node, negated, True))
            waiting.extend((operand, negated, False) for operand in reversed(node.operands))
        else:
            parts = done[-len(node.operands) :]
            del done[-len(node.operands) :]
            done.append(joined(parts, isinstance(node, And) != negated))
    return done.pop()


def _flat(node: And | Or) -> tuple[Predicate, ...]:
    """The operands, with those of operands of the same kind in their place."""
    kind = type(node)
    found: list[Predicate] = []
    waiting: list[Predicate] = [node]
    while waiting:
        current = waiting.pop()
        if isinstance(current, And | Or) and type(current) is kind:
            waiting.extend(reversed(current.operands))
        else:
            found.append(current)
    return tuple(found)


def _and(operands: Sequence[Fragment]) -> Fragment:
    used = [operand for operand in operands if operand.applied is not Applied.NONE]
    if not used:
        return Fragment("", Applied.NONE, _reasons(operands))
    whole = all(operand.applied is Applied.EXACT for operand in operands)
    text = used[0].text if len(used) == 1 else "(" + " and ".join(operand.text for operand in used) + ")"
    return Fragment(text, Applied.EXACT if whole else Applied.SUPERSET, _reasons(operands))


def _or(operands: Sequence[Fragment]) -> Fragment:
    weakest = min(operand.applied for operand in operands)
    if weakest is Applied.NONE:
        return Fragment("", Applied.NONE, _reasons(operands))
    return Fragment("(" + " or ".join(operand.text for operand in operands) + ")", weakest, _reasons(operands))


def _not(operand: Fragment) -> Fragment:
    if operand.applied is Applied.EXACT:
        return Fragment(f"(not {operand.text})", Applied.EXACT)
    return Fragment("", Applied.NONE, operand.reason or "NOT of what is not exact")


def _reasons(operands: Sequence[Fragment]) -> str:
    """Each reason once, in order."""
    return "; ".join(dict.fromkeys(operand.reason for operand in operands if operand.reason))
