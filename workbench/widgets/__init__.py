"""What the workbench makes, to be looked at and played with in a notebook: `workbench.view(x)` finds the view."""

from workbench.widgets.finding import view

__all__ = ["view"]
