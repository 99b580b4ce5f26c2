"""`workbench doctor` finds what was planted, and nothing where nothing is wrong."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
from pathlib import Path

import pytest

import workbench
from tests.cli.conftest import Command
from tests.services.process import free_port
from workbench.catalog import Catalog
from workbench.contract.connector import ServerInfo
from workbench.kit import native

MODULE = [sys.executable, "-m", "workbench.cli"]


def findings(command: Command, *words: str, **how: object) -> dict[str, list[dict[str, str]]]:
    done = command("doctor", "--json", *words, code=None, **how)
    found: dict[str, list[dict[str, str]]] = {}
    for line in done.stdout.splitlines():
        one = json.loads(line)
        found.setdefault(one["subject"], []).append(one)
    faulty = any(one["state"] == "fault" for ones in found.values() for one in ones)
    assert done.returncode == (1 if faulty else 0), done.stderr
    assert "Traceback" not in done.stderr
    return found


def fault(found: dict[str, list[dict[str, str]]], subject: str) -> dict[str, str]:
    """The only fault, which says a way out; everything else is right."""
    faults = [one for ones in found.values() for one in ones if one["state"] == "fault"]
    assert [one["subject"] for one in faults] == [subject]
    assert faults[0]["way_out"]
    return faults[0]


def test_nothing_is_wrong(command: Command, shop: Path, tmp_path: Path) -> None:
    found = findings(command)
    assert {state for ones in found.values() for state in (one["state"] for one in ones)} <= {"ok", "note"}
    assert found["connection shop"][0]["text"].startswith("DuckDB")
    assert found["folder"][0]["text"].startswith(f"{tmp_path / 'workbench'}: ")
    done = command("doctor")
    assert "FAULT" not in done.stdout
    assert "nothing is wrong" in done.stderr


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The package again, in a folder that Python looks into first."""
    site = tmp_path / "copy"
    shutil.copytree(Path(workbench.__file__).parent, site / "workbench", ignore=shutil.ignore_patterns("__pycache__"))
    return site


@pytest.mark.parametrize("how", ["stale", "absent", "broken", "older"])
def test_first_planted_fault_the_native_library(command: Command, copied: Path, how: str) -> None:
    door = copied / "workbench" / "kit" / "native.py"
    library = native.path().relative_to(Path(workbench.__file__).parents[1])
    library = copied / library
    match how:
        case "stale":
            text = door.read_text()
            assert "\nABI = " in text
            door.write_text(text.replace("\nABI = ", "\nABI = 1000 + "))
        case "absent":
            library.unlink()
        case "broken":
            library.write_bytes(b"not a library")
        case "older":
            source = copied / "native" / "src" / "lib.rs"
            source.parent.mkdir(parents=True)
            source.write_text("// changed since")
            library.with_name("BUILT_FROM").write_text(f"{'0' * 64}  native/src/lib.rs\n")
    found = findings(command, "--offline", env={"PYTHONPATH": str(copied)}, script=MODULE)
    one = fault(found, "native core")
    assert str(library) in one["text"]
    said = {"stale": "other sources", "absent": "not there", "broken": "cannot be loaded", "older": "native/src/lib.rs"}
    assert said[how] in one["text"]
    assert "make setup" in one["way_out"]


@pytest.mark.parametrize(
    "name", ["duckdb.py", "polars.py", "random.py", "workbench/__init__.py", "pymysql/__init__.py"]
)
def test_second_planted_fault_a_shadowed_import(command: Command, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "project"
    file = folder / name
    file.parent.mkdir(parents=True)
    file.write_text("")
    (folder / "tests").mkdir()
    (folder / "notes.py").write_text("")
    (folder / "plotly").mkdir()  # without __init__.py it hides nothing
    one = fault(findings(command, "--offline", cwd=folder), "imports")
    assert str(file) in one["text"]
    assert f"`{name.partition('/')[0].removesuffix('.py')}`" in one["text"]
    assert "Rename" in one["way_out"]


def test_the_repository_itself_hides_nothing(command: Command, repository: Path) -> None:
    assert findings(command, "--offline", cwd=repository)["imports"][0]["state"] == "ok"


RING = """
from keyring.backend import KeyringBackend

class Dead(KeyringBackend):
    priority = 5
    def set_password(self, service, username, password):
        raise OSError("the bus is gone")
    get_password = delete_password = lambda self, *_: None
"""


@pytest.mark.parametrize("backend", ["dead_ring.Dead", "keyring.backends.fail.Keyring", "no.such.Ring"])
def test_third_planted_fault_a_dead_keyring(command: Command, tmp_path: Path, backend: str) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "dead_ring.py").write_text(RING)
    environment = {"PYTHON_KEYRING_BACKEND": backend, "PYTHONPATH": str(site)}
    one = fault(findings(command, "--offline", env=environment), "keyring")
    assert backend in one["text"]
    assert "files that only you can read" in one["way_out"]


def test_fourth_planted_fault_an_unreachable_source(command: Command, tmp_path: Path) -> None:
    port = free_port()
    command("connect", "gone", f"mysql://u@127.0.0.1:{port}/d", "--secret", "env:NO_PASSWORD", "--no-test")
    assert "NO_PASSWORD" in fault(findings(command), "connection gone")["text"]
    one = fault(findings(command, env={"NO_PASSWORD": "x"}), "connection gone")
    assert f"127.0.0.1:{port}" in one["text"]
    command("connections", "gone", "--remove")
    lake = tmp_path / "lake"
    lake.mkdir()
    command("connect", "lake", "--path", lake, "--no-test")
    lake.rmdir()
    assert str(lake) in fault(findings(command), "connection lake")["text"]


def test_a_file_that_was_cut_off(command: Command, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "fine.csv").write_text("a\n1\n")
    (lake / "cut.parquet").write_bytes(b"PAR1 and no end")
    command("connect", "lake", "--path", lake)
    one = fault(findings(command), "connection lake")
    assert "cut.parquet cannot be read as a Parquet file" in one["text"]
    (lake / "cut.parquet").unlink()
    assert findings(command)["connection lake"][0]["state"] == "ok"
    book = tmp_path / "book.duckdb"
    book.write_bytes(b"no database" * 1000)
    command("connect", "book", "--path", book, "--no-test")
    assert "book.duckdb" in fault(findings(command), "connection book")["text"]


def test_a_source_that_never_answers(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"mysql://u@127.0.0.1:{silent.getsockname()[1]}/d?connect_timeout=1"
        command("connect", "mute", address, "--secret", "env:NO_PASSWORD", "--no-test")
        assert fault(findings(command, env={"NO_PASSWORD": "x"}), "connection mute")


def test_a_busy_machine_is_given_the_time_that_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only what does not come back at all is a fault: a folder after `PATIENCE`, a server not before its own limit."""
    from workbench.cli.checks import State, connections as checks

    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    (tmp_path / "lake").mkdir()
    catalog = Catalog()
    catalog.connect("lake", path=tmp_path / "lake")
    catalog.connect("far", "mysql://127.0.0.1:1/d?connect_timeout=200", secret="env:NONE", test=False)
    catalog.connect("near", "mysql://127.0.0.1:1/d?connect_timeout=3", secret="env:NONE", test=False)
    assert [checks._patience(catalog.saved(name)) for name in ("lake", "far", "near")] == [60, 600, 60]

    asked, stuck = threading.Event(), threading.Event()

    def slow(self: Catalog, name: str) -> ServerInfo:
        if name == "lake":
            stuck.wait(60)
        asked.set()
        return ServerInfo("found", "1")

    monkeypatch.setattr(Catalog, "test", slow)
    monkeypatch.setattr(checks, "PATIENCE", 0.2)
    monkeypatch.setattr(checks, "ANSWERS", 1)
    found = {one.subject: one for one in checks.sources()}
    stuck.set()
    assert asked.is_set()
    assert found["connection lake"].state is State.FAULT
    assert "did not answer within 0.2 s" in found["connection lake"].text
    assert found["connection far"].text == "found 1"


def test_fifth_planted_fault_an_extension_that_is_not_loaded(command: Command, tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    (settings / "labconfig").mkdir(parents=True)
    off = {"disabledExtensions": {"analytics-workbench": True}}
    (settings / "labconfig" / "page_config.json").write_text(json.dumps(off))
    one = fault(findings(command, "--offline", env={"JUPYTER_CONFIG_PATH": str(settings)}), "Lab extension")
    assert "switched off" in one["text"]
    assert "jupyter labextension enable" in one["way_out"]


def test_a_server_extension_that_is_not_loaded(command: Command, tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    settings.mkdir()
    off = {"ServerApp": {"jpserver_extensions": {"workbench.server": False}}}
    (settings / "jupyter_server_config.json").write_text(json.dumps(off))
    one = fault(findings(command, "--offline", env={"JUPYTER_CONFIG_PATH": str(settings)}), "server extension")
    assert "switched off" in one["text"]
    assert "jupyter server extension enable workbench.server" in one["way_out"]


@pytest.mark.parametrize("how", ["old", "torn"])
def test_an_extension_that_is_not_ours(command: Command, tmp_path: Path, how: str) -> None:
    folder = tmp_path / "share" / "labextensions" / "analytics-workbench"
    (folder / "static").mkdir(parents=True)
    (folder / "static" / "entry.js").write_text("")
    package = {
        "name": "analytics-workbench",
        "version": "0.0.1" if how == "old" else workbench.__version__,
        "jupyterlab": {"_build": {"load": "static/entry.js" if how == "old" else "static/missing.js"}},
    }
    (folder / "package.json").write_text(json.dumps(package))
    environment = {"JUPYTER_PATH": str(tmp_path / "share"), "JUPYTER_PREFER_ENV_PATH": "0"}
    one = fault(findings(command, "--offline", env=environment), "Lab extension")
    assert {"old": "0.0.1", "torn": "missing.js"}[how] in one["text"]


def test_a_damaged_connection_and_a_broken_connector(command: Command, tmp_path: Path, shop: Path) -> None:
    (tmp_path / "workbench" / "documents" / "connections" / "web.json").write_text("{")
    assert "damaged" in fault(findings(command), "connection web")["text"]
    command("connections", "web", "--remove")
    site = tmp_path / "site"
    (site / "broken-1.0.dist-info").mkdir(parents=True)
    (site / "broken-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (site / "broken-1.0.dist-info" / "entry_points.txt").write_text(
        "[workbench.connectors]\nbroken = nowhere:MANIFEST\n"
    )
    one = fault(findings(command, "--offline", env={"PYTHONPATH": str(site)}), "connectors")
    assert "nowhere" in one["text"]
    assert "(2 rows)" not in command("sql", "select 1", env={"PYTHONPATH": str(site)}).stderr
