"""A Sphinx extension: docstrings are written in Markdown, autodoc reads reStructuredText.

Only what our docstrings use is translated: paragraphs, lists, `code`, indented and fenced blocks. All else that
reStructuredText would take for markup is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sphinx.application import Sphinx

CODE_SPAN = re.compile(r"(`+)(.+?)\1", re.DOTALL)
LIST_ITEM = re.compile(r"\s*(?:[-*]|\d+\.)\s")


def inline(text: str) -> str:
    """`code` to ``code``, and everything else taken literally."""
    parts, at = [], 0
    for span in CODE_SPAN.finditer(text):
        parts += [escaped(text[at : span.start()]), f"``{span[2].strip()}``"]
        at = span.end()
        if text[at : at + 1].isalnum():
            parts.append("\\ ")  # reStructuredText wants an end of word there
    return "".join([*parts, escaped(text[at:])])


def escaped(text: str) -> str:
    text = re.sub(r"^(\s*)\*\s", r"\1- ", text.replace("\\", "\\\\"), flags=re.MULTILINE)
    return re.sub(r"(?<=\w)_(?!\w)|[*|]|(?<!\w):(?=\w+:)", lambda found: f"\\{found[0]}", text)


def block(lines: list[str], language: str) -> list[str]:
    return ["", f".. code-block:: {language}", "", *(f"    {line}" for line in lines), ""]


def paragraph(lines: list[str]) -> list[str]:
    if all(line.startswith("    ") for line in lines):
        return block([line[4:] for line in lines], "python" if looks_like_python(lines) else "text")
    if all("|" in line for line in lines):
        return block(lines, "text")
    translated = inline("\n".join(lines)).split("\n")
    result: list[str] = []
    in_list = False
    for line in translated:
        if LIST_ITEM.match(line) and not in_list:
            result.append("")
            in_list = True
        result.append(line)
    return [*result, ""]


def looks_like_python(lines: list[str]) -> bool:
    try:
        compile("\n".join(line[4:] for line in lines), "docstring", "exec")
    except SyntaxError:
        return False
    return True


def translated(lines: list[str]) -> Iterator[str]:
    waiting: list[str] = []
    fence: list[str] | None = None
    language = "text"
    for line in [*lines, ""]:
        if fence is not None:
            if line.strip().startswith("```"):
                yield from block(fence, language)
                fence = None
            else:
                fence.append(line)
        elif line.strip().startswith("```"):
            yield from paragraph(waiting) if waiting else ()
            waiting, fence, language = [], [], line.strip()[3:] or "text"
        elif line.strip():
            waiting.append(line)
        elif waiting:
            yield from paragraph(waiting)
            waiting = []
    if fence is not None:
        raise ValueError(f"a fenced block has no end: {fence[:3]}")


def on_docstring(_app: Sphinx, _what: str, name: str, _object: object, _options: object, lines: list[str]) -> None:
    if name.partition(".")[0].startswith("workbench"):
        lines[:] = list(translated(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", on_docstring)
    return {"parallel_read_safe": True}
