"""The example notebooks, and the dashboard of the demo shop that is one of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.catalog import Catalog
    from workbench.dashboards.publishing import Published

__all__ = ["DASHBOARD", "examples", "publish"]

DASHBOARD = "demo-shop"
_NOTEBOOK = "06_dashboard.ipynb"


def examples() -> Path | None:
    """Where they are: in a checkout beside the package, else in the package, where a wheel has them."""
    import workbench

    package = Path(workbench.__file__).parent
    root = package.parent
    for folder in ([root / "notebooks"] if (root / "pyproject.toml").is_file() else []) + [package / "_notebooks"]:
        if any(folder.glob("*.ipynb")):
            return folder
    return None


def publish(catalog: Catalog) -> Published:
    """Makes the demo shop where it is not yet, and publishes its dashboard as `demo-shop`. Raises UsageError where the
    user's own connection has the name that the dashboard reads."""
    from workbench.contract.errors import UsageError
    from workbench.dashboards.publishing import publish_at

    folder = examples()
    if folder is None:
        raise UsageError("The example notebooks are not installed here.")
    _connect(catalog)
    return publish_at(catalog.home, folder / _NOTEBOOK, DASHBOARD)


def _connect(catalog: Catalog) -> None:
    """`web` is a demo's, made where there is none. Raises UsageError where it is something else."""
    from workbench import demo
    from workbench.catalog import places
    from workbench.contract.errors import DocumentError, UnknownConnection, UsageError

    try:
        path = Path(str(catalog.saved("web").parameters.get("path", "")))
    except (UnknownConnection, DocumentError):
        demo.ensure(catalog)
        return
    if not path.is_relative_to(places.demo(catalog.home)):
        raise UsageError("The dashboard reads the demo's connection `web`, and your `web` is something else.")
    if not path.is_dir():
        demo.ensure(catalog)
