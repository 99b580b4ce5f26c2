"""HDFS from Maven's registry, kept outside the repository.

`python -m tests.services.hdfs.fetch` does it beforehand and prints where it lies.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.services.process import ServiceError, cache, install

_POM = Path(__file__).parent / "pom.xml"


def home() -> Path:
    """The folder of its jars; fetched when they are not there yet."""
    digest = hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]
    base = cache() / "hdfs"
    done = base / digest
    base.mkdir(parents=True, exist_ok=True)
    with (base / "lock").open("w") as lock:  # two test runs at once fetch it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.is_dir():
            _fetch(base / "new", done)
    return done


def _fetch(new: Path, done: Path) -> None:
    maven = install("maven", "mvn")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    shutil.copy(_POM, new)
    copying = [str(maven), "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime",
               f"-DoutputDirectory={new}"]  # fmt: skip
    ran = subprocess.run(copying, cwd=new, capture_output=True, text=True)
    if ran.returncode != 0:
        raise ServiceError(f"HDFS's jars could not be fetched:\n{(ran.stdout + ran.stderr)[-2000:]}")
    new.rename(done)


if __name__ == "__main__":
    sys.stdout.write(f"{home()}\n")
