"""mongo-java-server from Maven's registry, kept outside the repository. No package ships MongoDB's own server.

`python -m tests.services.mongodb.fetch` does it beforehand and prints where it lies.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.services.process import ServiceError, cache, install

_HERE = Path(__file__).parent
_SOURCES = (_HERE / "pom.xml", _HERE / "WireServer.java")


def classpath() -> str:
    """The compiled server and its jars, for `java -cp`; fetched when they are not there yet."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in _SOURCES)).hexdigest()[:12]
    base = cache() / "mongodb"
    done = base / digest
    base.mkdir(parents=True, exist_ok=True)
    with (base / "lock").open("w") as lock:  # two test runs at once fetch it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.is_dir():
            _fetch(base / "new", done)
    return f"{done}:{done}/*"


def _fetch(new: Path, done: Path) -> None:
    maven, compiler = install("maven", "mvn"), install("default-jdk-headless", "javac")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    for source in _SOURCES:
        shutil.copy(source, new)
    copying = [maven, "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={new}"]
    compiling = [compiler, "-cp", f"{new}/*", "-d", new, new / "WireServer.java"]
    for command in (copying, compiling):
        ran = subprocess.run([str(part) for part in command], cwd=new, capture_output=True, text=True)
        if ran.returncode != 0:
            said = (ran.stdout + ran.stderr)[-2000:]
            raise ServiceError(f"mongo-java-server could not be made ready:\n{said}")
    new.rename(done)


if __name__ == "__main__":
    sys.stdout.write(f"{classpath()}\n")
