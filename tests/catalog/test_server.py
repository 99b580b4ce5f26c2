"""C9 against a real server: a user and a password made of everything that URLs, shells and SQL trip over."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pymysql.converters
import pytest

from tests.services.mysql.server import Server
from workbench.catalog import Catalog, Connection
from workbench.contract.errors import AuthenticationFailed
from workbench.contract.secret import Secret

ODD = "a'b\"c@d:/?#%00\n"


def test_an_odd_user_and_password_log_in(home: Path, mariadb: Server) -> None:
    who = pymysql.converters.escape_string(ODD)
    mariadb.execute(f"create user '{who}'@'%' identified by '{who}'", f"grant select on shop.* to '{who}'@'%'")
    catalog = Catalog(home)
    try:
        url = f"mysql://{quote(ODD, safe='')}@{mariadb.host}:{mariadb.port}/{mariadb.database}"
        catalog.connect("odd", url, secret=Secret(ODD))
        assert "MariaDB" in Connection(catalog, "odd").test().product
        catalog.connect("odd", url, secret=Secret(ODD + "x"), test=False)
        with pytest.raises(AuthenticationFailed) as caught:
            catalog.test("odd")
        assert str(caught.value).startswith("odd: ")
    finally:
        catalog.close()
        mariadb.execute(f"drop user '{who}'@'%'")
