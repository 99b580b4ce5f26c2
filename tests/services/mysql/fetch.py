"""MySQL 9 for the tests: Debian sid's server with every library below it, unpacked aside.

    python -m tests.services.mysql.fetch

apt works with lists, cache and an (empty) package status of its own, so nothing of the system changes, and libc comes
along. The mirror is the one that this machine's apt already uses.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.services.process import ServiceError, cache

_UNUSED = ("perl", "libperl", "debconf", "tzdata", "sensible", "mecab", "libmecab")


def root() -> Path:
    """The folder that holds `usr/sbin/mysqld`; fetched when it is not there."""
    base = cache() / "mysql9"
    done = base / "root"
    if not (done / "usr/sbin/mysqld").exists():
        base.mkdir(exist_ok=True)
        with (base / "lock").open("w") as lock:  # two test runs at once fetch it once
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (done / "usr/sbin/mysqld").exists():
                _fetch(base, done)
    return done


def program(base: Path) -> list[str]:
    """mysqld under its own loader and libraries, as the start of a command line."""
    loader = next(iter(sorted(base.glob("usr/lib*/ld-linux*.so.*"))), None)
    libraries = next((path.parent for path in base.glob("usr/lib/*/libc.so.6")), None)
    if loader is None or libraries is None:
        raise ServiceError(f"{base} has no loader or no libc; remove it and fetch again")
    return [str(loader), "--library-path", str(libraries), str(base / "usr/sbin/mysqld")]


def _mirror() -> str:
    shown = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL) $(COMPONENT)", "Identifier: Packages"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for line in shown.splitlines():
        uri, *what = line.split()
        if what == ["Debian", "Debian", "main"]:
            return uri
    raise ServiceError("This machine's apt lists no Debian mirror to fetch MySQL 9 from: run apt-get update")


def _fetch(base: Path, done: Path) -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise ServiceError("MySQL 9 is fetched with Debian's apt, which is not on this machine")
    apt, new = base / "apt", base / "root.new"
    shutil.rmtree(new, ignore_errors=True)
    for folder in (apt / "lists/partial", apt / "cache/archives/partial", apt / "parts", new):
        folder.mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (apt / "sources.list").write_text(f"deb [signed-by={keys}] {_mirror()} sid main\n")
    options = {
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": apt / "parts",
        "Dir::State::lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Debug::NoLocking": "true",
        # Images often delete packages once they are installed; these are wanted.
        "Binary::apt-get::APT::Keep-Downloaded-Packages": "true",
        "APT::Update::Post-Invoke": "",
        "DPkg::Post-Invoke": "",
    }
    command = ["apt-get", "-qq", "-y", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
    for verb in (["update"], ["install", "--download-only", "mysql-server-core"]):
        ran = subprocess.run([*command, *verb], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
        if ran.returncode != 0:
            raise ServiceError(f"apt-get {verb[0]} for MySQL 9 failed:\n{ran.stderr[-2000:]}")
    for package in sorted((apt / "cache/archives").glob("*.deb")):
        if not package.name.startswith(_UNUSED):
            subprocess.run(["dpkg-deb", "-x", str(package), str(new)], check=True)
    for unused in ("doc", "man", "locale", "perl", "info"):
        shutil.rmtree(new / "usr/share" / unused, ignore_errors=True)
    shutil.rmtree(apt)
    shutil.rmtree(done, ignore_errors=True)
    new.rename(done)


if __name__ == "__main__":
    place = root()
    shown = subprocess.run([*program(place), "--no-defaults", "--version"], capture_output=True, text=True, check=True)
    sys.stdout.write(f"{place}\n{shown.stdout}")
