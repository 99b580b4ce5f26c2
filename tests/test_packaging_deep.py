"""Builds on machines that lack something: no Rust, no linker, no Node, no way to fetch Rust. `make test-deep`."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.wheel import REPOSITORY, UV

pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(sys.platform != "linux", reason="zig stands in for the linker on Linux only"),
]

TOOL_CHAINS = re.compile(
    r"(.*-)?(cc|c\+\+|gcc|g\+\+|clang|clang\+\+|ld|cpp|c89|c99)(-[\d.]+)?|(cargo|rust|node|npm|npx|yarn|zig).*"
)
NEWEST_GLIBC = (2, 17)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The repository's files as git would hand them out, nothing built."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    copy = tmp_path / "checkout"
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, copy / name)
    return copy


@pytest.fixture
def poor(tmp_path: Path) -> dict[str, str]:
    """An environment with an empty HOME whose PATH has what a fresh system has, but no tool chain."""
    programs, home = tmp_path / "programs", tmp_path / "home"
    programs.mkdir()
    home.mkdir()
    for folder in ("/usr/bin", "/bin"):
        for file in sorted(Path(folder).iterdir()):
            if not TOOL_CHAINS.fullmatch(file.name) and not (programs / file.name).exists():
                (programs / file.name).symlink_to(file)
    cache = subprocess.run([str(UV), "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    dropped = re.compile(r"CARGO.*|RUST.*|WORKBENCH_.*|CC|CXX|VIRTUAL_ENV|PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not dropped.fullmatch(name)}
    return {**kept, "PATH": str(programs), "HOME": str(home), "UV_CACHE_DIR": cache}


def build(checkout: Path, env: dict[str, str], *, what: str = "--wheel") -> subprocess.CompletedProcess[str]:
    command = [str(UV), "build", what, "-o", str(checkout.parent / "out"), "--python", sys.executable, str(checkout)]
    return subprocess.run(command, env=env, capture_output=True, text=True)


def library_of(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("libworkbench_native.so"))
        return archive.read(name)


def test_without_any_tool_chain_the_wheel_is_whole(checkout: Path, poor: dict[str, str], tmp_path: Path) -> None:
    for name in ("cargo", "rustc", "cc", "gcc", "node"):
        assert shutil.which(name, path=poor["PATH"]) is None
    ran = build(checkout, poor)
    assert ran.returncode == 0, ran.stderr
    (wheel,) = (tmp_path / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    loads = "from workbench.kit.native import library; print(library()._name)"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r}); {loads}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(loaded.stdout.strip()).is_relative_to(tmp_path / "installed")


def test_a_release_runs_on_an_old_glibc(checkout: Path, tmp_path: Path) -> None:
    tag = f"manylinux_2_17_{platform.machine()}"
    ran = build(checkout, {**os.environ, "WORKBENCH_WHEEL_PLATFORM": tag})
    assert ran.returncode == 0, ran.stderr
    (wheel,) = (tmp_path / "out").glob("*.whl")
    assert wheel.name.endswith(f"-py3-none-{tag}.whl")
    asked = {tuple(map(int, found)) for found in re.findall(rb"GLIBC_(\d+)\.(\d+)", library_of(wheel))}
    assert asked
    assert max(asked) <= NEWEST_GLIBC


def test_where_rust_cannot_be_fetched_it_says_install_rust(checkout: Path, poor: dict[str, str]) -> None:
    """The front end fetches packages, then the hook's own download of Rust meets a closed port."""
    (checkout / "sitecustomize.py").write_text(
        "import os\nos.environ.update(HTTPS_PROXY='http://127.0.0.1:9', https_proxy='http://127.0.0.1:9')\n"
    )
    ran = build(checkout, {**poor, "PYTHONPATH": str(checkout)})
    assert ran.returncode != 0
    assert "Install Rust" in ran.stderr
    assert not list((checkout.parent / "out").glob("*.whl"))


def test_a_mistake_in_the_crate_fails_the_build(checkout: Path) -> None:
    with (checkout / "native" / "src" / "lib.rs").open("a") as source:
        source.write("\nfn broken( {\n")
    ran = build(checkout, dict(os.environ))
    assert ran.returncode != 0
    assert not list((checkout.parent / "out").glob("*.whl"))
