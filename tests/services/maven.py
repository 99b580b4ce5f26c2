"""Servers that are made of jars: from Maven's registry, kept outside the repository."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.services.process import ServiceError, cache, install

__all__ = ["jars"]


def jars(name: str, pom: Path) -> Path:
    """The folder of the jars that `pom` asks for; fetched when they are not there yet. Raises ServiceError."""
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    base = cache() / name
    done = base / digest
    base.mkdir(parents=True, exist_ok=True)
    with (base / "lock").open("w") as lock:  # two test runs at once fetch it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.is_dir():
            _fetch(name, pom, base / "new", done)
    return done


def _fetch(name: str, pom: Path, new: Path, done: Path) -> None:
    maven = install("maven", "mvn")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    shutil.copy(pom, new / "pom.xml")
    copying = [str(maven), "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime",
               f"-DoutputDirectory={new}"]  # fmt: skip
    ran = subprocess.run(copying, cwd=new, capture_output=True, text=True)
    if ran.returncode != 0:
        raise ServiceError(f"The jars of {name} could not be fetched:\n{(ran.stdout + ran.stderr)[-2000:]}")
    new.rename(done)
