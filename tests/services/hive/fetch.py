"""Hive from Maven's registry, with the tables of an empty metastore, kept outside the repository.

`python -m tests.services.hive.fetch` does it beforehand (about two minutes) and prints where it lies.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.services.hive import settings
from tests.services.process import ServiceError, cache, install

_HERE = Path(__file__).parent
_SOURCES = (_HERE / "pom.xml", _HERE / "OneUser.java")
_SCHEMATOOL = "org.apache.hadoop.hive.metastore.tools.schematool.MetastoreSchemaTool"


def home() -> Path:
    """A folder with `lib` (jars), `classes` (ours) and `metastore_db` (an empty one, to be copied); made when it is not
    there yet."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in _SOURCES)).hexdigest()[:12]
    base = cache() / "hive"
    done = base / digest
    base.mkdir(parents=True, exist_ok=True)
    with (base / "lock").open("w") as lock:  # two test runs at once fetch it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.is_dir():
            new = base / "new"
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            _fetch(new)
            new.rename(done)
    return done


def _fetch(new: Path) -> None:
    maven, compiler = install("maven", "mvn"), install("default-jdk-headless", "javac")
    shutil.copy(_HERE / "pom.xml", new)
    copy = [maven, "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={new / 'lib'}"]
    _run([*copy, "-DincludeScope=runtime"], new)
    _run([compiler, "-cp", f"{new}/lib/*", "-d", new / "classes", _HERE / "OneUser.java"], new)
    _run([maven, "-q", "-B", "dependency:copy", f"-DoutputDirectory={new / 'scripts'}"], new)
    scripts = new / "scripts"
    with tarfile.open(next(scripts.glob("*-bin.tar.gz"))) as archive:
        wanted = [one for one in archive if "/scripts/metastore/upgrade/derby/" in one.name and one.isfile()]
        archive.extractall(scripts, wanted, filter="data")
    # A metastore's home of its own: the folder is moved afterwards, and Derby's place is relative.
    settings.write(new, metastore=1, binary=1, http=1, web=1)
    tool = settings.java(new, new, "512m", _SCHEMATOOL, "-dbType", "derby", "-initSchema")
    _run(tool, new, {"METASTORE_HOME": str(next(one for one in scripts.iterdir() if one.is_dir()))})
    for leftover in ("scripts", "conf", "tmp", "scratch", "warehouse"):
        shutil.rmtree(new / leftover, ignore_errors=True)
    for lock in (new / "metastore_db").glob("*.lck"):
        lock.unlink()


def _run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    ran = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    if ran.returncode != 0:
        raise ServiceError(f"Hive could not be made ready:\n{(ran.stdout + ran.stderr)[-3000:]}")


if __name__ == "__main__":
    sys.stdout.write(f"{home()}\n")
