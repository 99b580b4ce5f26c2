"""The cluster of a session: chosen once, then named by `on="cluster"`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.contract.errors import InvalidParameter, UsageError

if TYPE_CHECKING:
    from workbench.execution.cluster import Cluster
    from workbench.query.execution import Job
    from workbench.query.jobs import Prepared
    from workbench.query.session import Session

__all__ = ["Clusters"]


class Clusters:
    """Holds one cluster. Thread-safe; loads nothing until there is one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._chosen: Cluster | None = None

    def choose(
        self,
        home: Path,
        address: str = "local",
        workers: int | None = None,
        memory: str = "auto",
        certificates: Mapping[str, str] | None = None,
    ) -> Cluster:
        from workbench.execution.cluster import Cluster

        if address == "local" and certificates:
            raise InvalidParameter("certificates", "are for tls://: a local cluster makes its own, leave them out")
        if address != "local" and memory != "auto":
            raise InvalidParameter("memory", "is for `local`: workers that are there have their own, leave it out")
        if address == "local":
            made = Cluster.local(str(home), workers, memory)
        elif workers is not None:
            raise UsageError("A cluster that is there has its own workers: leave out `workers=`.")
        else:
            made = Cluster.attach(address, str(home), certificates)
        with self._lock:
            before, self._chosen = self._chosen, made
        if before is not None:
            before.close()
        return made

    def chosen(self, on: str) -> Cluster:
        """Raises UsageError where there is none."""
        if on != "cluster":
            raise UsageError(f'A statement runs here, or with `on="cluster"` on the cluster, not on `{on}`.')
        with self._lock:
            found = self._chosen
        if found is None or found.closed:
            raise UsageError(
                'There is no cluster yet. Start one beside this notebook: `wb.cluster("local", workers=2)`.'
            )
        return found

    @property
    def there(self) -> Cluster | None:
        """The one that was chosen, where it was not closed."""
        with self._lock:
            return self._chosen if self._chosen is not None and not self._chosen.closed else None

    def job(self, session: Session, prepared: Prepared, cluster: Cluster, folder: str = "") -> Job:
        from workbench.query.cluster_job import ClusterJob

        return ClusterJob(session, prepared, cluster, folder)

    def close(self) -> None:
        with self._lock:
            found, self._chosen = self._chosen, None
        if found is not None:
            found.close()
