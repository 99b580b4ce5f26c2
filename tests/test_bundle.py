"""What the Lab extension asks of a page before any of it runs: where part of it is missing, no part of it loads."""

from __future__ import annotations

import re
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "extensions" / "lab" / "src"
EVERYWHERE = {
    *("application", "apputils", "codemirror", "coreutils", "notebook", "outputarea", "rendermime", "services"),
    *("settingregistry", "statedb", "translation", "ui-components"),
}
"""Packages of JupyterLab that Notebook 7 and Voila have, too; others are loaded by `import()`, where they are used."""
IMPORT = re.compile(r"^import (?!type\b)([^;]*?)from '([^']+)'", re.MULTILINE)


def asked_at_once() -> dict[str, set[str]]:
    """Packages that are imported from the entry on, each with the modules of ours that do it."""
    found: dict[str, set[str]] = {}
    waiting, seen = [SOURCE / "index.ts"], set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        for _, name in IMPORT.findall(module.read_text()):
            if name.startswith("."):
                waiting.append((module.parent / f"{name}.ts").resolve())
            else:
                found.setdefault(name, set()).add(module.name)
    return found


def test_what_is_loaded_at_once_is_there_on_every_page() -> None:
    foreign = {
        name: modules
        for name, modules in asked_at_once().items()
        if not name.startswith("@lumino/")
        and not (name.startswith("@jupyterlab/") and name.removeprefix("@jupyterlab/") in EVERYWHERE)
    }
    assert not foreign


def test_no_text_becomes_markup() -> None:
    """Names, comments and errors of sources reach the page as text alone."""
    markup = re.compile(r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment)\b")
    found = [path.name for path in SOURCE.rglob("*.ts") if markup.search(path.read_text())]
    assert not found


def test_no_connector_is_named() -> None:
    names = {path.name.removeprefix("workbench_") for path in (SOURCE.parents[2] / "connectors").glob("workbench_*")}
    assert names
    # `duckdb` is the engine's own SQL, which cells are coloured as; `files` is a word.
    named = re.compile("|".join(rf"\b{name}\b" for name in sorted(names - {"duckdb", "files"})), re.IGNORECASE)
    assert not [path.name for path in SOURCE.rglob("*.ts") if named.search(path.read_text())]
