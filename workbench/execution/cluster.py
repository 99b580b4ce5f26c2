"""A Dask cluster: one that this process starts beside itself, or one that is there."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from workbench.contract.errors import ClusterFailed, InvalidParameter
from workbench.execution import threads
from workbench.execution.cluster_greeting import must_greet
from workbench.execution.cluster_worker import look, stop

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Cluster", "Worker"]

START_SECONDS = 60.0
STOP_SECONDS = 2.0
_PACKAGES = ("analytics-workbench", "distributed", "duckdb", "pyarrow")


@dataclass(frozen=True)
class Worker:
    """One of a cluster's. `near`: it runs here, as the same user, and reads the same documents."""

    address: str
    near: bool


class Cluster:
    """Workers that read splits side by side. Thread-safe. `close` ends a cluster that was started here, and only lets
    go of another one; so does the end of this process, however it comes."""

    def __init__(self, client: Client, address: str, dashboard: str, home: str, child: subprocess.Popen[str] | None):
        self.address, self.dashboard = address, dashboard
        self._client, self._child, self._home = client, child, home
        self._lock = threading.Lock()
        self._end = weakref.finalize(self, _ended, client, child)

    @classmethod
    def local(cls, home: str, workers: int | None = None, memory: str = "auto") -> Cluster:
        """Starts a scheduler and workers as processes of their own, on loopback, with certificates of their own. They
        end with this process. Takes some seconds. Raises InvalidParameter, ClusterFailed."""
        count = workers if workers is not None else max(1, min(8, os.cpu_count() or 1))
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 256:
            raise InvalidParameter("workers", f"is a number from 1 to 256, not {count!r}")
        _check_memory(memory)
        with tempfile.TemporaryFile() as errors:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "workbench.execution.cluster_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
            try:
                told = _asked(child, errors, {"workers": count, "threads": 1, "memory": memory, "parent": os.getpid()})
                security = _security(told["ca"], told["cert"], told["key"])
                return cls(_client(told["address"], security), told["address"], told["dashboard"], home, child)
            except BaseException:
                _quit(child)
                raise

    @classmethod
    def attach(cls, address: str, home: str, certificates: Mapping[str, str] | None = None) -> Cluster:
        """One that is there: `tcp://host:8786`, or `tls://` with the files `ca`, `cert` and `key`. Raises
        InvalidParameter for an address that is none, ClusterFailed when nobody answers there, or its workers have
        other versions."""
        scheme, separator, rest = address.partition("://")
        if scheme not in ("tcp", "tls") or not separator or ":" not in rest:
            raise InvalidParameter("address", f"is `local`, or tcp://HOST:PORT or tls://HOST:PORT, not `{address}`")
        _check_certificates(scheme, certificates)
        security = _security(**{name: str(path) for name, path in certificates.items()}) if certificates else None
        must_greet(address, security.get_connection_args("client")["ssl_context"] if security is not None else None)
        client = _client(address, security)
        cluster = cls(client, address, client.dashboard_link, home, None)
        try:
            cluster.workers()
        except BaseException:
            cluster.close()
            raise
        return cluster

    def workers(self) -> list[Worker]:
        """Those that are there now; of a cluster that was started here, one that just starts again is waited for where
        there is no other. Raises ClusterFailed when there are none, or one cannot work for us."""
        deadline = time.monotonic() + (START_SECONDS if self._child is not None else 0.0)
        while not (found := self._looked()) and time.monotonic() < deadline:
            time.sleep(0.2)
        if not found:
            raise ClusterFailed(self.address, "it has no workers. Start some: dask worker " + self.address)
        mine = look(self._home)
        return [_worker(self.address, address, said, mine) for address, said in found.items()]

    def _looked(self) -> dict[str, Any]:
        """What the workers say of themselves, without those that are just going."""
        try:
            found = self.client.run(look, self._home, on_error="return")
        except (OSError, TimeoutError, RuntimeError) as error:
            raise ClusterFailed(self.address, f"it does not answer: {error}") from None
        return {address: said for address, said in found.items() if not isinstance(said, OSError)}

    def stop(self, run: str) -> None:
        """Ends what the workers do for the run, and at the sources. Waits but a moment for one that does not answer."""

        def told() -> None:
            with contextlib.suppress(Exception):  # one that is gone does nothing any more
                self.client.run(stop, run, on_error="ignore")
            over.set()

        over = threading.Event()
        threads.run(told)
        over.wait(STOP_SECONDS)

    def close(self) -> None:
        """Idempotent."""
        self._end()

    @property
    def closed(self) -> bool:
        return not self._end.alive

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return f"<Cluster {self.address}: closed>"
        count = len(self._client.scheduler_info(n_workers=-1)["workers"])
        return f"<Cluster {self.address}: {count} worker{'s' if count != 1 else ''}, dashboard {self.dashboard}>"

    @property
    def client(self) -> Client:
        """Dask's own, for what is made with Dask: `frame.compute(scheduler=cluster.client)`. Raises ClusterFailed for a
        cluster that was closed."""
        if self.closed:
            raise ClusterFailed(self.address, "it was closed. Start it again: wb.cluster(…)")
        return self._client


def _check_memory(memory: str) -> None:
    from dask.utils import parse_bytes

    try:
        fits = memory == "auto" or parse_bytes(memory) >= 1 << 20
    except (ValueError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise InvalidParameter("memory", f'is that of one worker, as "4GiB", or "auto", not {memory!r}')


def _check_certificates(scheme: str, certificates: Mapping[str, str] | None) -> None:
    if scheme != "tls":
        if certificates:
            raise InvalidParameter("certificates", f"are for tls://: write that, or leave them out for {scheme}://")
        return
    if not isinstance(certificates, Mapping) or set(certificates) != {"ca", "cert", "key"}:
        raise InvalidParameter("certificates", "are needed for tls://: the paths of `ca`, `cert` and `key`")
    for name, path in certificates.items():
        if not os.path.isfile(path) or not os.access(path, os.R_OK):
            raise InvalidParameter(
                "certificates", f"`{name}` is the path of a file that can be read, not {str(path)!r}"
            )


def _worker(cluster: str, address: str, said: Any, mine: Mapping[str, Any]) -> Worker:
    if isinstance(said, BaseException):
        text = f"{type(said).__name__}: {said}"
        if isinstance(said, ImportError) or "No module named 'workbench" in text:  # an older worker wraps it
            version = mine["versions"]["analytics-workbench"]
            text = f"it lacks our package. Install it there: pip install analytics-workbench=={version}"
        raise ClusterFailed(cluster, f"worker {address} cannot work for us: {text}")
    for name in _PACKAGES:
        here, there = mine["versions"][name], said["versions"][name]
        if here.split(".")[:2] != there.split(".")[:2]:
            way_out = f"Install {name}=={here} there, or {name}=={there} here"
            raise ClusterFailed(
                cluster, f"worker {address} has {name} {there or 'not at all'}, here is {here}. {way_out}"
            )
    near = said["home"] and (said["host"], said["user"]) == (mine["host"], mine["user"])
    return Worker(address, near)


def _security(ca: str, cert: str, key: str) -> Any:
    from distributed import Security

    return Security(require_encryption=True, tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key)


def _client(address: str, security: Any) -> Client:
    from distributed import Client
    from distributed.versions import VersionMismatchWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)  # `workers` says it, with the way out
            return Client(address, security=security, timeout=10, set_as_default=False, name="analytics-workbench")
    except ImportError as error:
        raise ClusterFailed(address, f"its scheduler and this process do not fit together: {error}") from None
    except (OSError, TimeoutError, RuntimeError, ValueError) as error:
        why = str(error).partition("\n")[0][:300] or type(error).__name__
        raise ClusterFailed(
            address, f"nobody could be reached there: {why}. Is the scheduler up, and the address right?"
        ) from None


def _asked(child: subprocess.Popen[str], errors: IO[bytes], what: Mapping[str, Any]) -> dict[str, Any]:
    assert child.stdin is not None
    assert child.stdout is not None
    timer = threading.Timer(START_SECONDS, child.kill)
    timer.start()
    try:
        with contextlib.suppress(BrokenPipeError):  # it has ended, and says why
            child.stdin.write(json.dumps(what) + "\n")
            child.stdin.flush()
        line = child.stdout.readline()
    finally:
        timer.cancel()
    if not line:
        child.wait(5)
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise ClusterFailed("local", f"it did not start within {START_SECONDS:g} s: {said[0][:300]}")
    found: dict[str, Any] = json.loads(line)
    return found


def _quit(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(OSError):
        child.stdin.close()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    child.stdout.close()


def _ended(client: Client, child: subprocess.Popen[str] | None) -> None:
    with contextlib.suppress(Exception):  # its scheduler may be gone
        client.close(timeout=5)
    if child is not None:
        _quit(child)
