"""Writes environment.yml from pyproject.toml: `python setup/environment.py` (`--check` only compares).

One list of dependencies is kept by hand, in pyproject.toml. Here is only what conda calls by another name.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "environment.yml"

CONDA_NAMES = {
    "dask": "dask-core",
    "duckdb": "python-duckdb",
}  # PyPI's name: conda-forge's name; the others are the same

HEADER = """\
# Written by setup/environment.py from pyproject.toml; `make check` fails when it is behind.
# Nobody has solved this environment yet: no conda channel could be reached where it was made. The way that was tried is
# `make lab`.
# The last entry builds the native core, which fetches Rust when there is none.
"""


def requirements(project: dict[str, Any]) -> list[str]:
    """What it takes to run, sorted by name; what only tests and docs need is left to `make`."""
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    lines = []
    for text in texts:
        wanted = Requirement(text)
        if wanted.marker is not None or wanted.extras:
            raise SystemExit(f"{text}: say in setup/environment.py how conda writes a marker or an extra")
        name = canonicalize_name(wanted.name)
        bounds = ",".join(sorted(map(str, wanted.specifier), reverse=True))
        lines.append(f"{CONDA_NAMES.get(name, name)}{bounds}")
    return [f"python{project['requires-python']}", *sorted(lines)]


def written() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = ["name: analytics-workbench", "channels:", "  - conda-forge", "dependencies:"]
    lines += [f'  - "{line}"' for line in requirements(project)]
    lines += ["  - pip", "  - pip:", "      - --no-deps -e ."]
    return HEADER + "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    text = written()
    if arguments == ["--check"]:
        if TARGET.read_text() == text:
            return 0
        print("environment.yml does not fit pyproject.toml: run make environment", file=sys.stderr)
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
