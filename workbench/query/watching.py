"""A run for a `with`: it can be stopped from anywhere, and ends with how its body did."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from workbench.contract.errors import Cancelled

if TYPE_CHECKING:
    from workbench.execution.stop import Watch
    from workbench.runs import Run

__all__ = ["watched"]


@contextlib.contextmanager
def watched(watch: Watch, run: Run, stop: Callable[[], None]) -> Iterator[None]:
    """`stop` is called where somebody asks for the run's end; it need not wait."""
    watch.add(run, stop)
    try:
        yield
    except (Cancelled, KeyboardInterrupt):
        run.finish("stopped")
        raise
    except BaseException as error:
        run.finish("failed", str(error))
        raise
    finally:
        watch.remove(run)
    run.finish("done")
