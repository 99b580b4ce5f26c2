"""Docstrings are Markdown; what the documentation makes of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def docstrings() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docstrings", ROOT / "docs" / "docstrings.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize(
    ("markdown", "restructured"),
    [
        ("takes `a*b` and *args", "takes ``a*b`` and \\*args"),
        ("one `list`s item", "one ``list``\\ s item"),
        ("a span `over\ntwo lines` ends", "a span ``over\ntwo lines`` ends"),
        ("name_ and _name and na_me", "name\\_ and _name and na_me"),
        ("lead:\n- one\n- two", "lead:\n\n- one\n- two"),
        ("```sql\nselect `x`\n```", ".. code-block:: sql\n\n    select `x`"),
        ("before\n\n    x = `1`", "before\n\n\n.. code-block:: text\n\n    x = `1`"),
        ("    x = 1", ".. code-block:: python\n\n    x = 1"),
    ],
)
def test_markdown_becomes_restructured_text(docstrings: ModuleType, markdown: str, restructured: str) -> None:
    assert "\n".join(docstrings.translated(markdown.split("\n"))).strip() == restructured


def test_a_block_without_an_end_is_an_error(docstrings: ModuleType) -> None:
    with pytest.raises(ValueError, match="no end"):
        list(docstrings.translated(["```", "x"]))
