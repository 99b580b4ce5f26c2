"""No password that stands in a statement is kept in the register."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.runs import Register

CANARY = "Tr0ub4dor&3"


@pytest.mark.parametrize(
    "text",
    [
        f"create user 'u'@'%' identified by '{CANARY}'",
        f"CREATE USER u IDENTIFIED  WITH mysql_native_password AS '{CANARY}'",
        f'alter user u identified by "{CANARY}"',
        f"set password for u = '{CANARY}'",
        f"select * from people where password = '{CANARY}' and name = 'x'",
        f"change master to master_host = 'h', secret = '{CANARY}'",
        f"set password = '{CANARY}",
        f"set password = '{CANARY}\\",
        f"/* password */ set @x = '{CANARY}'",
        f"grant all on *.* to u identified by\n'{CANARY}'",
    ],
)
def test_it_is_in_no_byte_of_the_file(tmp_path: Path, text: str) -> None:
    register = Register(tmp_path / "runs.db")
    run = register.begin("native", f"shop: {text}"[:200], text, ["shop"])
    run.finish("failed", f"You have an error near '{text[text.index(' ') :]}' [1064]; no such user {CANARY}")
    (info,) = register.history()
    register.close()
    assert CANARY not in run.kept(f"shop: {text}")
    assert "***" in info.statement
    assert info.title.startswith("shop: ")
    for file in tmp_path.iterdir():
        assert CANARY.encode() not in file.read_bytes()


def test_a_password_with_quotes_is_known_again(tmp_path: Path) -> None:
    register = Register(tmp_path / "runs.db")
    run = register.begin("native", "set", f"set password = 'it''s-{CANARY}', x = 'a\\'b{CANARY}'")
    run.finish("failed", f"it's-{CANARY} is too short, and so is a'b{CANARY}")
    (info,) = register.history()
    assert info.error == "*** is too short, and so is ***"
    register.close()


def test_other_statements_are_kept_as_they_are(tmp_path: Path) -> None:
    register = Register(tmp_path / "runs.db")
    texts = ["select * from shop.orders where state = 'paid'", "select password_changed, 'x' as y from people",
             "select count(passwords) from t where a = 'b'"]  # fmt: skip
    for text in texts:
        register.begin("query", text, text).finish("failed", "no 'paid'")
    assert sorted(one.statement for one in register.history()) == sorted(texts)
    register.close()
