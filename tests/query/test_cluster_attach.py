"""Clusters that are there already: with certificates, with workers of other versions, without our package."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import duckdb
import pytest

from tests.services.certificate import make
from tests.services.dask.server import DaskCluster
from tests.services.mysql.server import Server
from workbench.catalog import Catalog
from workbench.contract.errors import ClusterFailed
from workbench.contract.secret import Secret
from workbench.execution import cluster_greeting
from workbench.execution.cluster import Cluster
from workbench.query.session import Session
from workbench.runs import Register

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    (tmp_path / "lake").mkdir()
    with duckdb.connect() as engine:
        engine.execute(f"copy (select i x, i % 7 k from range(1000) r(i)) to '{tmp_path}/lake/t.parquet'")
    catalog, register = Catalog(tmp_path / "home"), Register(tmp_path / "home" / "runs.sqlite")
    catalog.connect("lake", path=tmp_path / "lake")
    session = Session(catalog, register)
    yield session
    session.close()
    catalog.close()
    register.close()


def test_one_with_certificates_is_attached_to_used_and_left_as_it_is(
    session: Session, tmp_path: Path, mariadb: Server
) -> None:
    with DaskCluster(tls=True, workers=2) as there:
        session.clusters.choose(session.catalog.home, there.address, certificates=there.certificates)
        text = "select k, count(*) n, sum(x) s from lake.t group by k order by k"
        result = session.sql(text, on="cluster")
        assert result.arrow().to_pylist() == session.sql(text).arrow().to_pylist()
        assert f"on the cluster {there.address}" in repr(result.explain())

        mariadb.execute("drop table if exists two", "create table two as select 1 a union all select 2")
        session.catalog.connect("crm", mariadb.url("reader"), secret=Secret(mariadb.password))
        assert session.sql("select sum(a) from crm.two", on="cluster").polars().rows() == [(3,)]
        mariadb.execute("drop table two")

        (tmp_path / "other").mkdir()
        public, private = make(tmp_path / "other")
        with pytest.raises(ClusterFailed, match="nobody could be reached"):
            Cluster.attach(there.address, str(tmp_path), {"ca": str(public), "cert": str(public), "key": str(private)})
        with pytest.raises(ClusterFailed):
            Cluster.attach(there.address.replace("tls", "tcp"), str(tmp_path))
        session.clusters.close()
        with Cluster.attach(there.address, str(tmp_path), there.certificates) as again:
            assert len(again.workers()) == 2


def test_workers_of_another_version_are_refused_with_the_way_out(tmp_path: Path) -> None:
    """The worker is a real one, whose environment says that it has an older distributed."""
    told = tmp_path / "distributed-2020.1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: distributed\nVersion: 2020.1.0\n")
    here = metadata.version("distributed")
    said = rf"distributed 2020\.1\.0, here is {here}.*Install distributed=={here}"
    with (
        DaskCluster(environment={"PYTHONPATH": str(tmp_path)}) as there,
        pytest.raises(ClusterFailed, match=said),
    ):
        Cluster.attach(there.address, str(tmp_path))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "another protocol"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "another protocol"),
        (bytes(64), "another protocol"),
        (b"\x40", "nobody could be reached"),
        (b"\x40" + bytes(7) + b"x", "nobody could be reached"),
        (None, "says nothing"),
    ],
)
def test_who_is_no_scheduler_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes | None, told: str
) -> None:
    monkeypatch.setattr(cluster_greeting, "_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"

        def speak() -> None:
            with contextlib.suppress(OSError):
                peer, _ = listener.accept()
                with peer:
                    if said is None:
                        peer.recv(1)
                    else:
                        peer.sendall(said)

        speaking = threading.Thread(target=speak)
        speaking.start()
        with pytest.raises(ClusterFailed, match=f"{told}.*Is the scheduler up"):
            Cluster.attach(address, str(tmp_path))
        speaking.join()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:99999", "tcp://127.0.0.1:x", "tcp://:1", "tcp://127.0.0.1:1"])
def test_an_address_where_nobody_is(tmp_path: Path, address: str) -> None:
    with pytest.raises(ClusterFailed, match="nobody could be reached"):
        Cluster.attach(address, str(tmp_path))


def test_a_cluster_without_workers_says_so(tmp_path: Path) -> None:
    with DaskCluster(workers=0) as there, pytest.raises(ClusterFailed, match="dask worker tcp://"):
        Cluster.attach(there.address, str(tmp_path))


@pytest.mark.deep
def test_a_cluster_of_another_environment_is_refused(tmp_path: Path) -> None:
    """An older distributed, without our package, and then with it."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(tmp_path / "venv")], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", str(python), "distributed==2026.7.0"], check=True)
    with DaskCluster(python=python) as there, pytest.raises(ClusterFailed, match=r"lacks our package"):
        Cluster.attach(there.address, str(tmp_path))
    (package,) = metadata.distribution("analytics-workbench").locate_file("").glob("analytics_workbench-*.dist-info")
    repository = str(Path(__file__).resolve().parents[2])
    (installed,) = (tmp_path / "venv" / "lib").glob("*/site-packages")
    shutil.copytree(package, installed / package.name)
    (installed / "workbench.pth").write_text(f"{repository}\n{repository}/connectors\n")
    with DaskCluster(python=python) as there, pytest.raises(ClusterFailed, match=r"has (distributed 2026\.7|duckdb)"):
        Cluster.attach(there.address, str(tmp_path))
