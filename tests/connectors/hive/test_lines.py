"""Text of files beside a plain reading of the same rules, in blocks of any size; and how columns of files are named."""

from __future__ import annotations

import io
import re
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st
from pyarrow import orc

from workbench_hive import lines
from workbench_hive.formats import Unclear, opened
from workbench_hive.layouts import Layout

_LETTERS = st.sampled_from(("a", "|", "\\", "\\N", "n", "é", "\r", "\n", "\r\n", "\0"))
_ROWS = st.lists(_LETTERS, max_size=40).map("".join)


def plainly(text: str, layout: Layout) -> list[list[str | None]]:
    """As the rules say it, letter by letter."""
    found = re.split(r"\r\n|\r|\n", text)
    if found[-1] == "":
        found.pop()
    return [[*_plain_fields(line, layout), None, None, None][:3] for line in found[layout.skipped :]]


def _plain_fields(line: str, layout: Layout) -> list[str | None]:
    if layout.escape < 0:
        return [None if part == layout.null else part for part in line.split("|")]
    pattern = r"((?:\\.|[^|\\]|\\$)*)(?:\||$)"
    parts = [hit[1] for hit in re.finditer(pattern, line + "|", re.DOTALL)][: _ends(line) + 1]
    made = {"n": "\n", "r": "\r"}
    unescaped = (re.sub(r"\\(.)", lambda hit: made.get(hit[1], hit[1]), part, flags=re.DOTALL) for part in parts)
    return [None if part == layout.null else text for part, text in zip(parts, unescaped, strict=True)]


def _ends(line: str) -> int:
    return re.sub(r"\\.", "", line, flags=re.DOTALL).count("|")


@settings(deadline=None)
@given(_ROWS, st.integers(1, 9), st.sampled_from((-1, ord("\\"))), st.integers(0, 2))
def test_blocks_of_any_size_give_the_same_rows(text: str, block: int, escape: int, skipped: int) -> None:
    layout = Layout("text", ("a", "b", "c"), ord("|"), escape, skipped=skipped)
    if escape >= 0 and re.search(r"(?<!\\)(?:\\\\)*\\(?:[\r\n]|$)", text):
        return  # a lone escape at the end of a line: beside the real server
    with mock.patch.object(lines, "_BLOCK", block):
        parts = list(lines.fields(io.BytesIO(text.encode()), layout, (0, 1, 2)))
    assert all(len(column) == rows for rows, columns in parts for column in columns)
    found = [list(row) for _, columns in parts for row in zip(*(one.to_pylist() for one in columns), strict=True)]
    assert found == plainly(text, layout)


def test_a_line_without_an_end_and_bytes_that_are_no_text_are_errors() -> None:
    layout = Layout("text", ("a",))
    with (
        mock.patch.object(lines, "_BLOCK", 10),
        mock.patch.object(lines, "_LONGEST", 100),
        pytest.raises(OverflowError),
    ):
        list(lines.fields(io.BytesIO(b"x" * 1000), layout, (0,)))
    with pytest.raises(UnicodeDecodeError):
        list(lines.fields(io.BytesIO(b"a\n\xff\n"), layout, (0,)))


def test_columns_of_orc_are_meant_by_name_or_all_by_place(tmp_path: Path) -> None:
    layout, path = Layout("orc", ("a", "b", "c")), str(tmp_path / "x")
    for names, wanted in (
        (["b", "a"], {"b": "b", "a": "a"}),
        (["_col0", "_col1"], {"a": "_col0", "b": "_col1"}),
        (["_col0", "b"], {"_col0": "_col0", "b": "b"}),
    ):
        orc.write_table(pa.table([[1], [2]], names), path)
        assert opened(path, layout).names == wanted
    orc.write_table(pa.table([[1], [2]], ["A", "b"]), path)
    with pytest.raises(Unclear):
        opened(path, layout)
