"""Where things are kept: one folder of the user's own, outside every notebook folder."""

from __future__ import annotations

import os
from pathlib import Path

from workbench.documents.private import private_folder

__all__ = ["demo", "documents", "home", "register", "results", "secrets", "spool"]


def home() -> Path:
    """`$WORKBENCH_HOME`, else the platform's folder for a user's data; made when it is not there, mode 0700."""
    named = os.environ.get("WORKBENCH_HOME", "")
    if named:
        path = Path(named).expanduser().absolute()
        return path if path == Path.home() else private_folder(path)
    import platformdirs

    return private_folder(Path(platformdirs.user_data_dir("analytics-workbench", appauthor=False)))


def documents(base: Path | None = None) -> Path:
    return (base or home()) / "documents"


def secrets(base: Path | None = None) -> Path:
    """Secrets for which there is no keyring; apart from the documents, so that those can be copied or committed."""
    return (base or home()) / "secrets"


def register(base: Path | None = None) -> Path:
    """The register of runs."""
    return (base or home()) / "runs.sqlite"


def spool(base: Path | None = None) -> Path:
    """Results that do not fit in memory, as long as they are used."""
    return private_folder((base or home()) / "spool")


def results(base: Path | None = None) -> Path:
    """Results that are shown, for other processes of this user to page in."""
    return private_folder((base or home()) / "results")


def demo(base: Path | None = None) -> Path:
    return (base or home()) / "demo"
