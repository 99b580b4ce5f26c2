"""C9 against a real server: a user and a password made of everything that URLs, shells and SQL trip over."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pymysql.converters
import pytest

from tests.services.mysql.server import Server
from workbench.catalog import Catalog, Connection
from workbench.contract.errors import AuthenticationFailed, UrlRefused
from workbench.contract.secret import Secret

ODD = "a'b\"c@d:/?#%00\n"


@pytest.mark.parametrize("url", ["mysql://", "mysql:///shop", "mariadb://analyst@"])
def test_a_url_that_leads_nowhere_is_told_what_it_lacks(home: Path, url: str) -> None:
    catalog = Catalog(home)
    lacks = "it lacks the host:" if url.endswith("shop") else "it lacks the host and the database:"
    with pytest.raises(UrlRefused, match=rf"{lacks} write mysql://user@db\.example\.org/shop"):
        catalog.connect("bare", url, secret=Secret("x"))
    catalog.close()


def test_an_odd_user_and_password_log_in(home: Path, mariadb: Server, monkeypatch: pytest.MonkeyPatch) -> None:
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
        assert "give the connection its password again" in str(caught.value)
        monkeypatch.setenv("ODD_PASSWORD", "wr0ng-k4n4ry")
        catalog.connect("other", url, secret="env:ODD_PASSWORD")
        with pytest.raises(AuthenticationFailed, match="the environment variable ODD_PASSWORD") as caught:
            catalog.test("other")
        assert "k4n4ry" not in str(caught.value)
        assert "its password again" not in str(caught.value)
    finally:
        catalog.close()
        mariadb.execute(f"drop user '{who}'@'%'")
