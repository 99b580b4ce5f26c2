"""What is listed by hand is what lies in the folders, and the rules that import-linter cannot see."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import workbench
from tests.hostile import LIST, PROMISED

ROOT = Path(__file__).resolve().parents[1]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINTER = CONFIG["tool"]["importlinter"]
FLOORS, KNOWS, FORBIDDEN = LINTER["contracts"]
ROOMS = {path.parent.name for path in ROOT.glob("workbench/*/__init__.py")}
CONNECTORS = {path.name for path in ROOT.glob("connectors/workbench_*") if path.is_dir()}
_CLASS = re.compile(r"\.(wb-[A-Z]\w*(?:-\w+)*)")
HEAVY = {
    "confluent_kafka",
    "dask",
    "duckdb",
    "IPython",
    "keyring",
    "numpy",
    "pandas",
    "plotly",
    "polars",
    "pyarrow",
    "pymongo",
    "pymysql",
    "redis",
    "sqlglot",
}


def tracked() -> list[Path]:
    """Files of the repository, new ones too; not what is built."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def floor_names(text: str) -> Iterator[tuple[str, bool]]:
    for name in text.split(" | "):
        yield name.strip("()"), not name.startswith("(")


# ---- rooms and floors ----------------------------------------------------------------------------------------------


def test_a_floor_is_in_parentheses_exactly_while_it_is_not_built() -> None:
    built = {name for layer in FLOORS["layers"] for name, is_built in floor_names(layer) if is_built}
    assert built == ROOMS


def test_the_floors_of_the_architecture_page_are_the_floors_that_are_held() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    drawn = re.search(r"```text\n(server \|.*?)```", page, re.DOTALL)
    assert drawn is not None
    held = [[name for name, _ in floor_names(layer)] for layer in FLOORS["layers"]]
    assert [line.split(" | ") for line in drawn[1].strip().splitlines()] == held
    assert FLOORS["exhaustive"] is True


def test_no_function_of_the_surface_is_named_like_a_room() -> None:
    """A module of the surface is the room itself."""
    rooms = {name for layer in FLOORS["layers"] for name, _ in floor_names(layer)}
    functions = {name for name in workbench.__all__ if not isinstance(getattr(workbench, name), ModuleType)}
    assert rooms.isdisjoint(functions)
    assert rooms & set(workbench.__all__) <= ROOMS


def test_every_room_and_connector_is_a_typed_package_with_a_docstring() -> None:
    packages = [ROOT / "workbench", *(ROOT / "workbench" / room for room in ROOMS)]
    packages += [ROOT / "connectors" / name for name in CONNECTORS]
    for package in packages:
        assert ast.get_docstring(ast.parse((package / "__init__.py").read_text())), package
    for top in [ROOT / "workbench", *(ROOT / "connectors" / name for name in CONNECTORS)]:
        assert (top / "py.typed").is_file(), top


def test_no_module_is_longer_than_500_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in tracked()
        if path.suffix in {".py", ".rs", ".ts"} and (count := len(path.read_text().splitlines())) > 500
    }
    assert not long


def test_tests_are_no_packages() -> None:
    """Except a whole distribution that the tests install, which brings a pyproject.toml of its own."""
    guests = [path.parent for path in (ROOT / "tests").rglob("pyproject.toml")]
    packages = (ROOT / "tests").rglob("__init__.py")
    assert not [path for path in packages if not any(path.is_relative_to(guest) for guest in guests)]


# ---- connectors ----------------------------------------------------------------------------------------------------


def test_every_connector_is_an_entry_point_and_says_so_in_pyproject() -> None:
    declared = CONFIG["project"]["entry-points"]["workbench.connectors"]
    assert {f"workbench_{name}" for name in declared} == CONNECTORS
    ours = {point.name: point.value for point in entry_points(group="workbench.connectors")}
    assert {name: ours.get(name) for name in declared} == declared


def test_the_linters_know_every_connector() -> None:
    assert set(LINTER["root_packages"]) == CONNECTORS | {"workbench"}
    assert set(KNOWS["layers"][0].split(" | ")) == set(FORBIDDEN["source_modules"]) == CONNECTORS
    assert set(CONFIG["tool"]["ruff"]["lint"]["isort"]["known-first-party"]) == CONNECTORS | {"workbench"}


def test_no_room_is_forgotten_in_what_a_connector_must_not_import() -> None:
    allowed = {"workbench.contract", "workbench.kit"}
    assert set(FORBIDDEN["forbidden_modules"]) == {f"workbench.{room}" for room in ROOMS} - allowed


def strings_that_import(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What import_module() and __import__() are given, and constants that look like `workbench.room.module`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if re.fullmatch(r"workbench(_\w+)?(\.\w+)+(:\w+)?", node.value):
            yield node.lineno, node.value.split(":")[0]


def height(room: str) -> int:
    for number, layer in enumerate(reversed(FLOORS["layers"])):
        if any(name == room for name, _ in floor_names(layer)):
            return number
    raise AssertionError(f"{room} has no floor")


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_an_import_by_string_keeps_to_the_floors(room: str) -> None:
    for path in (ROOT / "workbench" / room).rglob("*.py"):
        for line, name in strings_that_import(ast.parse(path.read_text())):
            other = name.split(".")[1]
            if not name.startswith("workbench.") or other == room or other not in ROOMS:
                continue
            assert height(other) < height(room), f"{path.relative_to(ROOT)}:{line} reaches up to {name}"


def test_no_room_names_a_connector_package() -> None:
    """Connectors are found by their entry points; whoever names one cannot do without it."""
    for path in (ROOT / "workbench").rglob("*.py"):
        tree = ast.parse(path.read_text())
        named = {name for _, name in strings_that_import(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                named.add(node.module)
        assert not {name for name in named if name.split(".")[0] in CONNECTORS}, path


@pytest.mark.parametrize("package", sorted(CONNECTORS))
def test_a_connector_reaches_no_room_by_string(package: str) -> None:
    for path in (ROOT / "connectors" / package).rglob("*.py"):
        for line, name in strings_that_import(ast.parse(path.read_text())):
            top, inner = name.split(".")[:2]
            assert top == package or (top == "workbench" and inner in {"contract", "kit"}), f"{path}:{line} {name}"


# ---- what importing costs ------------------------------------------------------------------------------------------


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys, json\nprint(json.dumps([n for n in sys.modules if '.' not in n]))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_import_workbench_loads_nothing_heavy_and_no_connector() -> None:
    loaded = loaded_by("import workbench")
    assert not loaded & (HEAVY | CONNECTORS)


@pytest.mark.parametrize("package", sorted(CONNECTORS))
def test_reading_a_manifest_loads_no_driver(package: str) -> None:
    assert not loaded_by(f"import {package}.manifest") & HEAVY


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def test_every_package_that_is_imported_is_declared() -> None:
    """A package that is there because another one needs it is gone with that one's next version."""
    project = CONFIG["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    providers = packages_distributions()
    undeclared: dict[str, list[str]] = {}
    for path in [*(ROOT / "workbench").rglob("*.py"), *(ROOT / "connectors").rglob("*.py")]:
        for name in set(imported(path)) - sys.stdlib_module_names - CONNECTORS - {"workbench"}:
            if not declared & {canonicalize_name(provider) for provider in providers.get(name, ())}:
                undeclared.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert not undeclared


# ---- the hostile list ----------------------------------------------------------------------------------------------


def test_every_case_of_the_hostile_list_has_tests_that_are_there() -> None:
    assert sorted(LIST) == sorted(PROMISED)
    missing = []
    for case, tests in LIST.items():
        for file, _, name in (test.partition("::") for test in tests):
            tree = ast.parse((ROOT / file).read_text())
            defined = {one.name for one in tree.body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))}
            missing += [] if name in defined else [(case, file, name)]
        assert tests, case
    assert not missing


# ---- one version, no traces of a machine ---------------------------------------------------------------------------


def test_no_class_of_a_style_sheet_is_used_by_two() -> None:
    """The panel's and the grid's sheet is on the same page as the views'."""
    sheets = [
        {name for path in (ROOT / "extensions" / part).rglob("*.css") for name in _CLASS.findall(path.read_text())}
        for part in ("lab/src", "widgets/src")
    ]
    assert all(sheets)
    assert not set.intersection(*sheets)


def test_one_version() -> None:
    package = json.loads((ROOT / "extensions" / "package.json").read_text())
    crate = tomllib.loads((ROOT / "native" / "Cargo.toml").read_text())
    versions = {CONFIG["project"]["version"], package["version"], crate["package"]["version"], workbench.__version__}
    assert len(versions) == 1
    assert f"## {workbench.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_no_file_names_a_registry_or_a_machine() -> None:
    """Whoever clones this has mirrors of their own, and other folders."""
    # Put together here, so that this file does not find itself.
    hosts = ["py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com", "yarn" + "pkg.com"]
    hosts += ["crates" + ".io", "deb." + "debian.org", "conda." + "anaconda.org", "rust" + "-lang.org/dist"]
    places = ["/ro" + "ot/", "/ho" + "me/", "/work" + "/", "/opt/" + "wheels", "/Us" + "ers/"]
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        # A path stands alone or in quotes; `share/work/` in the middle of another one is none of a machine's.
        hits = [host for host in hosts if host in text]
        hits += [place for place in places if re.search(rf"(?<![\w.$}})/-]){re.escape(place)}", text)]
        found += [(str(path.relative_to(ROOT)), hit) for hit in hits]
    assert not found


def test_no_lock_names_a_host() -> None:
    for lock in ("requirements.lock", "extensions/yarn.lock", "native/Cargo.lock"):
        text = (ROOT / lock).read_text()
        assert "://" not in text.replace("registry+https", ""), lock
