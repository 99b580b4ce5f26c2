"""Drivers that come with an extra, and may not be there."""

from __future__ import annotations

import importlib.util

from workbench.contract.errors import Unsupported

__all__ = ["needed"]


def needed(module: str, who: str, extra: str) -> None:
    """Raises Unsupported, with the command that brings it, where the driver is not installed. Loads nothing."""
    if importlib.util.find_spec(module) is None:
        how = f'Install it: pip install "analytics-workbench[{extra}]", and start the kernel again.'
        raise Unsupported(who, f"work without its driver, `{module}`", how)
