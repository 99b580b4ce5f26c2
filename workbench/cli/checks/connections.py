"""The user's own things: secrets, connectors, connections, and work that was left at the sources."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from workbench.cli.checks import Finding, State

if TYPE_CHECKING:
    from workbench.catalog import Catalog, Saved

__all__ = ["connectors", "folder", "keyring", "runs", "sources"]

PATIENCE = 60.0
"""Seconds for what lies on this machine: it does not hang, but a busy machine may need that long to open it; and for
a server …"""
ANSWERS = 3
"""… or so many times its `connect_timeout`, which is for reaching it, for the log-in and for an answer each."""


def connectors() -> Iterator[Finding]:
    """Packages that bring connectors."""
    from workbench.catalog import connectors as installed

    problems = installed.problems()
    for problem in problems:
        yield Finding("connectors", State.FAULT, str(problem), f"Update or uninstall {problem.package}.")
    names = ", ".join(installed.manifests())
    yield Finding("connectors", State.OK if names else State.FAULT, names or "none is installed")


def folder() -> Iterator[Finding]:
    """Where all that is the user's lies."""
    from workbench.catalog import places

    yield Finding("folder", State.OK, f"{places.home()}: connections, results, the demo, what has run")


def keyring() -> Iterator[Finding]:
    """Whether the system's keyring keeps what it is given. That a machine has none is no fault, unless somebody chose
    a keyring that does not work, or secrets of saved connections are in it."""
    from workbench.catalog import Catalog

    catalog = Catalog()
    fault = catalog.secrets.try_keyring()
    if fault is None:
        yield Finding("keyring", State.OK, "keeps secrets")
        return
    stuck = []
    for name in catalog.names():
        saved = _saved(catalog, name)
        if saved is not None and any(one.startswith("keyring:") for one in saved.secrets.values()):
            stuck.append(name)
    chosen = os.environ.get("PYTHON_KEYRING_BACKEND", "")
    files = "New secrets are kept in files that only you can read."
    if stuck:
        text = f"cannot be used: {fault}; the secrets of {', '.join(stuck)} are in it"
        yield Finding("keyring", State.FAULT, text, "Unlock or start the keyring, or connect these again.")
    elif chosen or not fault.startswith("there is none"):
        why = f" (PYTHON_KEYRING_BACKEND is {chosen})" if chosen else ""
        yield Finding("keyring", State.FAULT, f"cannot be used: {fault}{why}", f"Unlock, start or unset it. {files}")
    else:
        yield Finding("keyring", State.NOTE, fault, files)


def sources() -> Iterator[Finding]:
    """Each saved connection, tried at once with the others. A server that is silent is told by the connection's own
    limit; ours is for what has none."""
    from workbench.catalog import Catalog

    catalog = Catalog()
    names = catalog.names()
    if not names:
        yield Finding("connections", State.NOTE, "there are none yet", "workbench connect, or workbench demo")
        return
    answers: queue.SimpleQueue[Finding] = queue.SimpleQueue()

    def ask(name: str) -> None:
        answers.put(_asked(catalog, name))

    for name in names:
        threading.Thread(target=ask, args=(name,), daemon=True).start()
    found: dict[str, Finding] = {}
    begun = time.monotonic()
    for name in names:
        subject, patience = f"connection {name}", _patience(_saved(catalog, name))
        deadline = begun + patience
        with contextlib.suppress(queue.Empty):
            while subject not in found:
                finding = answers.get(timeout=max(0.01, deadline - time.monotonic()))
                found[finding.subject] = finding
        late = f"did not answer within {patience:g} s"
        yield found.get(subject) or Finding(subject, State.FAULT, late, "Is the server, the disk or a firewall stuck?")


def _patience(saved: Saved | None) -> float:
    own = saved.parameters.get("connect_timeout") if saved is not None else None
    return max(PATIENCE, ANSWERS * own) if isinstance(own, int | float) else PATIENCE


def _asked(catalog: Catalog, name: str) -> Finding:
    from workbench.contract.errors import SecretMissing, SourceError, WorkbenchError

    subject = f"connection {name}"
    try:
        info = catalog.test(name)
    except SourceError as error:
        return Finding(subject, State.FAULT, error.message, f"Then: workbench connections {name} --test")
    except SecretMissing as error:
        return Finding(subject, State.FAULT, f"there is no secret at {error.reference}", str(error).partition(". ")[2])
    except WorkbenchError as error:
        return Finding(subject, State.FAULT, str(error), f"workbench connect {name} … saves it anew.")
    except Exception as error:  # noqa: BLE001 - a third party's connector
        return Finding(subject, State.FAULT, f"{type(error).__name__}: {error}", "A mistake of the connector.")
    if "unreadable" in info.details:
        way_out = "Restore or remove these files; the other tables can be read."
        return Finding(subject, State.FAULT, info.details["unreadable"], way_out)
    return Finding(subject, State.OK, f"{info.product} {info.version}".strip())


def runs() -> Iterator[Finding]:
    """The register, and work that dead processes may have left at the sources."""
    from workbench.catalog import places
    from workbench.runs import Register

    register = Register(places.register())
    try:
        active = register.runs(active=True)
    finally:
        register.close()
    lost = [one for one in active if one.state == "lost"]
    for one in lost:
        where = ", ".join(sorted({native.connection for native in one.natives}))
        text = f"{one.id} died with process {one.pid} and may still work at {where}"
        yield Finding("runs", State.FAULT, text, f"workbench running --stop {one.id}")
    if not lost:
        yield Finding("runs", State.OK, f"{len(active)} running, nothing is left of dead processes")


def _saved(catalog: Catalog, name: str) -> Saved | None:
    from workbench.contract.errors import DocumentError

    try:
        return catalog.saved(name)
    except DocumentError:
        return None  # the check of the connections tells about it
