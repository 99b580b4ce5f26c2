"""Lifting is logic, so it is tested against logic: every assignment of TRUE, FALSE and NULL to the leaves."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from workbench.contract import And, Applied, Column, Compare, IsNull, Literal, Not, Or, Predicate
from workbench.kit.levels import Fragment, lift

LEAVES = 4
Truth = bool | None


def leaf_number(number: int) -> Predicate:
    return Compare(Column((f"c{number}",)), "=", Literal(number, pa.int64()))


TREES = st.recursive(
    st.integers(0, LEAVES - 1).map(leaf_number),
    lambda below: st.one_of(
        below.map(Not),
        st.lists(below, min_size=2, max_size=3).map(lambda some: And(tuple(some))),
        st.lists(below, min_size=2, max_size=3).map(lambda some: Or(tuple(some))),
    ),
    max_leaves=10,
)


def number_of(node: Predicate) -> int:
    assert isinstance(node, Compare)
    return int(str(node.literal.value))


def truth(node: Predicate, of: list[Truth]) -> Truth:
    """Kleene's logic, as SQL has it."""
    match node:
        case Not(operand=operand):
            below = truth(operand, of)
            return None if below is None else not below
        case And(operands=operands):
            values = [truth(operand, of) for operand in operands]
            return False if False in values else None if None in values else True
        case Or(operands=operands):
            values = [truth(operand, of) for operand in operands]
            return True if True in values else None if None in values else False
        case _:
            return of[number_of(node)]


def text_truth(text: str, of: list[Truth]) -> Truth:
    """The lifted text, read by Python: its operators are SQL's, so three-valued numbers stand in for the names."""

    class Three:
        def __init__(self, value: Truth) -> None:
            self.value = value

        def __and__(self, other: Three) -> Three:
            pair = (self.value, other.value)
            return Three(False if False in pair else None if None in pair else True)

        def __or__(self, other: Three) -> Three:
            pair = (self.value, other.value)
            return Three(True if True in pair else None if None in pair else False)

        def __invert__(self) -> Three:
            return Three(None if self.value is None else not self.value)

    code = text.replace(" and ", " & ").replace(" or ", " | ").replace("not ", "~ ")
    result = eval(code, {f"c{number}": Three(value) for number, value in enumerate(of)})
    assert isinstance(result, Three)
    return result.value


@given(
    TREES,
    st.lists(st.sampled_from(list(Applied)), min_size=LEAVES, max_size=LEAVES),
    st.lists(st.sampled_from([True, False, None]), min_size=LEAVES, max_size=LEAVES),
    st.lists(st.booleans(), min_size=LEAVES, max_size=LEAVES),
)
def test_what_is_lifted_holds(tree: Predicate, levels: list[Applied], values: list[Truth], lies: list[bool]) -> None:
    def leaf(node: Predicate) -> Fragment:
        number = number_of(node)
        level = levels[number]
        return Fragment(f"c{number}" if level else "", level, "" if level is Applied.EXACT else f"because {number}")

    lifted = lift(tree, leaf)
    # At the source an EXACT leaf has the true value; a SUPERSET one may say TRUE to a row that is not.
    remote = [True if levels[n] is Applied.SUPERSET and lies[n] else values[n] for n in range(LEAVES)]
    wanted = truth(tree, values)
    assert (lifted.applied is Applied.NONE) == (lifted.text == "")
    if lifted.applied is Applied.EXACT:
        assert text_truth(lifted.text, remote) is wanted
    elif lifted.applied is Applied.SUPERSET:
        assert wanted is not True or text_truth(lifted.text, remote) is True
    if lifted.applied is not Applied.EXACT:
        assert lifted.reason


def exact(_: Predicate) -> Fragment:
    return Fragment("x", Applied.EXACT)


@pytest.mark.parametrize("deepest", [None, 50])
def test_depth_of_ten_thousand(deepest: int | None) -> None:
    chain: Predicate = IsNull(Column(("a",)))
    other = IsNull(Column(("b",)))
    for level in range(10_000):
        chain = And((chain, other)) if level % 2 else Or((chain, other))
    lifted = lift(chain, exact, deepest=deepest)
    if deepest is None:
        assert lifted.applied is Applied.EXACT
        assert lifted.text.count("(") == 10_000
    else:
        assert lifted.text.count("(") <= deepest
        assert "nested deeper than 50" in lifted.reason


def test_same_operators_do_not_nest() -> None:
    leaf = IsNull(Column(("a",)))
    chain: Predicate = leaf
    for _ in range(5_000):
        chain = And((Not(Not(chain)), leaf))
    assert lift(chain, exact, deepest=3).text.count("(") <= 3


def test_and_keeps_what_can_be_had() -> None:
    a, b = IsNull(Column(("a",))), IsNull(Column(("b",)))

    def only_a(node: Predicate) -> Fragment:
        return Fragment("A", Applied.EXACT) if node == a else Fragment("", Applied.NONE, "b is text")

    assert lift(And((a, b)), only_a) == Fragment("A", Applied.SUPERSET, "b is text")
    assert lift(Or((a, b)), only_a) == Fragment("", Applied.NONE, "b is text")
    assert lift(Not(And((a, b))), only_a).applied is Applied.NONE
