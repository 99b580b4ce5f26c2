"""The Jupyter Server extension: what the panels in JupyterLab ask, and what viewers watch."""

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from workbench.server.app import WorkbenchApp

    return [{"module": "workbench.server", "app": WorkbenchApp}]
