"""What is in the wheel and the source distribution, and that the wheel works where there is nothing else."""

from __future__ import annotations

import json
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.wheel import REPOSITORY, bare_environment

LAB = "share/jupyter/labextensions/analytics-workbench"

NOTEBOOK = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "workbench")
import workbench as wb
wb.connect("lake", path={folder!r})
query = "select country, sum(total)::int as total from lake.orders group by 1 order by 1"
shell.run_cell_magic("sql", "answer <<", query)
print(shell.user_ns["answer"].arrow().to_pylist())
"""


def test_the_wheel_has_everything_once(wheel: Path) -> None:
    assert wheel.name.split("-")[2:4] == ["py3", "none"]
    assert not wheel.name.endswith("-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert len(names) == len(set(names))
    tops = {name.split("/")[0] for name in names}
    packages = {path.parent.name for path in REPOSITORY.glob("connectors/*/__init__.py")} | {"workbench"}
    assert {top for top in tops if not top.startswith("analytics_workbench-")} == packages
    (library,) = (name for name in names if "workbench_native" in name)
    assert library.startswith("workbench/kit/_native/")
    bundles = [name for name in names if "/remoteEntry." in name]
    assert len(bundles) == 1
    assert LAB in bundles[0]
    assert any(name.endswith(f"{LAB}/install.json") for name in names)
    sources = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "workbench").rglob("*.py")}
    assert sources <= set(names)
    views = {path.stem for path in (REPOSITORY / "extensions/widgets/src").glob("*.ts")}
    assert views
    assert {f"workbench/widgets/static/{view}.js" for view in views} <= set(names)
    notebooks = {path.name for path in (REPOSITORY / "notebooks").glob("*.ipynb")}
    assert {name.rsplit("/", 1)[1] for name in names if name.startswith("workbench/_notebooks/")} == notebooks


def test_the_source_distribution_carries_the_bundle(wheel: Path) -> None:
    """So that an installation from it needs no Node."""
    (sdist,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"hatch_build.py", "native/Cargo.lock", "extensions/.built", "extensions/lab/dist/package.json"} <= names
    assert "workbench/widgets/static/topology.js" in names
    assert not {name for name in names if "node_modules" in name or name.startswith(("native/target", ".venv"))}
    assert not {name for name in names if name.startswith("workbench/kit/_native")}


def run(python: Path, tmp_path: Path, *arguments: str) -> str:
    ran = subprocess.run(
        [str(python), *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=bare_environment(python, tmp_path / "home"),
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_it_is_the_wheel_that_is_imported(wheel_python: Path, tmp_path: Path) -> None:
    code = "import workbench, workbench_mysql; print(workbench.__file__, workbench_mysql.__file__)"
    for file in run(wheel_python, tmp_path, "-c", code).split():
        assert Path(file).is_relative_to(wheel_python.parents[1])


def test_the_native_core_loads(wheel_python: Path, tmp_path: Path) -> None:
    run(wheel_python, tmp_path, "-c", "from workbench.kit.native import library; library()")


def test_lab_has_the_extension(wheel_python: Path, tmp_path: Path) -> None:
    listed = run(wheel_python, tmp_path, "-m", "jupyter", "labextension", "list")
    (line,) = (line for line in listed.splitlines() if "analytics-workbench" in line)
    assert "enabled" in line
    assert "OK" in line


def test_the_magics_answer_a_query_over_parquet(wheel_python: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    (lake / "orders").mkdir(parents=True)
    pq.write_table(pa.table({"country": ["de", "fr", "de"], "total": [1, 2, 3]}), lake / "orders" / "part.parquet")
    printed = run(wheel_python, tmp_path, "-c", NOTEBOOK.format(folder=str(lake)))
    assert "[{'country': 'de', 'total': 4}, {'country': 'fr', 'total': 2}]" in printed


@pytest.mark.parametrize("command", ["workbench", "jupyter-workbench"])
def test_the_commands_are_there(wheel_python: Path, tmp_path: Path, command: str) -> None:
    shown = subprocess.run(
        [wheel_python.parent / command, "--version"],
        capture_output=True,
        text=True,
        env=bare_environment(wheel_python, tmp_path / "home"),
    )
    version = json.loads((REPOSITORY / "extensions" / "package.json").read_text())["version"]
    assert shown.returncode == 0, shown.stderr
    assert version in shown.stdout
