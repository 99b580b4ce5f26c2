"""What is published: notebooks that others look at. The process that shows them is `workbench/server/viewer.py`."""

from workbench.dashboards.published import Dashboard, Dashboards

__all__ = ["Dashboard", "Dashboards"]
