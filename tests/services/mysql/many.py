"""A hundred thousand tables on a MariaDB in seconds: a MyISAM table is three files, linked here under more names."""

from __future__ import annotations

import os

from tests.services.mysql.server import MariaDB, Server

__all__ = ["make"]

MOST_LINKS = 60_000
"""To one file, on the file systems that there are."""


def make(server: Server, count: int, schemas: int, prefix: str = "big") -> list[str]:
    """`count` empty tables in `schemas` databases, which the user `reader` may read; the databases' names. Tables are
    numbered through, `t_000000` and on."""
    assert isinstance(server, MariaDB)
    each = count // schemas
    assert each * schemas == count
    assert each <= MOST_LINKS
    names = [f"{prefix}_{number:04d}" for number in range(schemas)]
    for place, name in enumerate(names):
        first = place * each
        server.execute(
            f"create database {name}",
            f"create table {name}.t_{first:06d} (id int primary key, x text) engine=MyISAM comment='one of many'",
            f"grant select on {name}.* to reader",
        )
    server.execute("flush tables")
    for place, name in enumerate(names):
        folder, first = server.folder / "data" / name, place * each
        made = [path for path in folder.iterdir() if path.stem == f"t_{first:06d}"]
        for path in made:
            for number in range(first + 1, first + each):
                os.link(path, folder / f"t_{number:06d}{path.suffix}")
    return names
