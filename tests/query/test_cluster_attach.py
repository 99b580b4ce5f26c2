"""Clusters that are there already: with certificates, with workers of other versions, without our package."""

from __future__ import annotations

import shutil
import subprocess
import sys
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
