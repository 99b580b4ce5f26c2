"""The first line of a SQL cell is read strictly."""

import pytest

from workbench.contract.errors import UsageError
from workbench.notebook.options import OPTIONS, Options, parse


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("", Options()),
        ("top <<", Options(name="top")),
        ("  größe<<", Options(name="größe")),
        ("--native shop", Options(native="shop")),
        ("--native=shop", Options(native="shop")),
        ("top << --native shop", Options(name="top", native="shop")),
        ("--native shop top <<", Options(name="top", native="shop")),
        ("--rows 10 --explain", Options(rows=10, explain=True)),
        ("--help", Options(help=True)),
        ("select 1", Options(sql="select 1")),
        ("top << select 1 << 2", Options(name="top", sql="select 1 << 2")),
        ("--native shop show tables", Options(native="shop", sql="show tables")),
        ("-- a comment", Options(sql="-- a comment")),
        ("--", Options(sql="--")),
        ("select 1 --native", Options(sql="select 1 --native")),
        ("1 << 2", Options(sql="1 << 2")),
    ],
)
def test_what_can_be_written(line: str, options: Options) -> None:
    assert parse(line) == options


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--natve shop", "Did you mean `--native`?"),
        ("--limit 5", "It has --native"),
        ("--native", "needs a value: `--native CONNECTION`"),
        ("--native --rows 5", "needs a value"),
        ("--on", "needs a value: `--on cluster`"),
        ("--native shop --on cluster", "do not go together"),
        ("--rows many", "a number of rows, not `many`"),
        ("--rows -1", "a number of rows"),
        ("--explain=yes", "takes no value"),
        ("--rows 1 --rows 2", "given twice"),
        ("class <<", "`class` is a word of Python"),
        ("--comment without a blank", "A comment is `-- ` with a blank"),
    ],
)
def test_what_is_refused_and_why(line: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line)
    assert said in str(caught.value)


def test_the_help_names_each_option() -> None:
    from workbench.notebook.options import HELP

    assert all(f"--{option}" in HELP for option in OPTIONS)
