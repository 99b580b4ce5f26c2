"""An outside connector plugs in by being installed: nothing of the product is changed or configured for it."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ASK = """
import json, sys
import workbench as wb
wb.connect("t", "toy:///" + sys.argv[1])
found = [str(info.table) for info in wb.connection("t").tables()]
rows = wb.sql("select name, 2 * price as twice from t.items where price > 1 order by name").arrow().to_pylist()
try:
    wb.sql("select * from t.itms")
    near = None
except wb.errors.UnknownTable as error:
    near = error.near
try:
    wb.native("t", "select 1")
    refused = None
except wb.errors.Unsupported as error:
    refused = str(error)
print(json.dumps([found, rows, near, refused]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed toy and nothing else."""
    folder = tmp_path_factory.mktemp("toy-site")
    command = ["-m", "uv", "pip", "install", "-q", "--no-deps", "--target", str(folder), str(HERE)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def environment(installed: Path, home: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(installed), "WORKBENCH_HOME": str(home)}


def test_it_is_found_by_its_entry_point_and_asked_in_sql(installed: Path, tmp_path: Path) -> None:
    database = tmp_path / "shop.db"
    link = sqlite3.connect(database)
    link.execute("create table items (name TEXT, price REAL)")
    link.executemany("insert into items values (?, ?)", [("pear", 1.5), ("apple", 2.0), ("crumb", 0.5), (None, None)])
    link.commit()
    link.close()
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(database).replace("/", "%2F")],
        env=environment(installed, tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found, rows, near, refused = json.loads(done.stdout)
    assert found == ["items"]
    assert rows == [{"name": "apple", "twice": 4.0}, {"name": "pear", "twice": 3.0}]
    assert any("items" in name for name in near)
    assert "cannot run" in refused


def test_its_author_holds_it_to_the_conformance_suite(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(HERE / "conformance.py"), "-q", "-p", "no:cacheprovider",
         "--basetemp", str(tmp_path / "run")],
        cwd=ROOT, env=environment(installed, tmp_path / "home"), capture_output=True, text=True, timeout=170,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 30


def test_the_product_does_not_know_it() -> None:
    for room in ("workbench", "connectors", "docs"):
        for file in (ROOT / room).rglob("*"):
            if file.suffix in {".py", ".md", ".toml"}:
                assert "workbench_toy" not in file.read_text(), file
    assert "workbench_toy" not in (ROOT / "pyproject.toml").read_text()
