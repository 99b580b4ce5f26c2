"""Reads splits in a process that knows nothing but the pickled split and how to open the connection.

    python -m workbench.testing.fresh < parcel > rows

`parcel` is a pickle of plain values; secrets come in it, over standard input, and are nowhere else.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence

import pyarrow as pa

from workbench.contract import ConnectionConfig, Manifest, Secret, Split
from workbench.contract.errors import WorkbenchError

__all__ = ["read_elsewhere"]


def read_elsewhere(manifest: Manifest, config: ConnectionConfig, splits: Sequence[Split]) -> list[pa.Table]:
    """The rows of each split, each read in a new process. Raises what was raised there."""
    return [_read_one(manifest, config, split) for split in splits]


def _read_one(manifest: Manifest, config: ConnectionConfig, split: Split) -> pa.Table:
    secrets = {name: secret.reveal() for name, secret in config.secrets.items()}
    parcel = pickle.dumps(
        (manifest, config.name, dict(config.parameters), secrets, dict(config.tables), pickle.dumps(split))
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-m", __name__], input=parcel, capture_output=True, timeout=120, env=environment, check=False
    )
    if done.returncode:
        raise AssertionError(f"reading elsewhere failed: {done.stderr.decode(errors='replace')}")
    kind, payload = pickle.loads(done.stdout)
    if kind == "error":
        raise payload
    table: pa.Table = pa.ipc.open_stream(payload).read_all()
    return table


def _main() -> None:
    from workbench.testing.scanning import read_split

    manifest, name, parameters, secrets, tables, pickled = pickle.loads(sys.stdin.buffer.read())
    hidden = {key: Secret(text) for key, text in secrets.items()}
    connector = manifest.open(ConnectionConfig(name, parameters, hidden, tables=tables))
    try:
        rows = read_split(connector, pickle.loads(pickled))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as out:
            out.write_table(rows)
        answer: tuple[str, object] = ("rows", sink.getvalue().to_pybytes())
    except WorkbenchError as error:
        answer = ("error", error)
    finally:
        connector.close()
    sys.stdout.buffer.write(pickle.dumps(answer))


if __name__ == "__main__":
    _main()
