"""What the tests need from outside Python: MariaDB, MySQL 9, Redis, Chromium. `python -m setup.system`, or `make test`.

As root on Debian it installs what is missing; elsewhere it says what to install, all of it at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.services.mysql import fetch
from tests.services.process import ServiceError, install

NEEDED: tuple[Callable[[], object], ...] = (
    lambda: install("mariadb-server-core", "mariadbd"),
    lambda: install("redis-tools", "redis-check-rdb"),
    lambda: install("chromium", "chromium"),
    fetch.root,
)


def main() -> int:
    missing = []
    for get in NEEDED:
        try:
            get()
        except ServiceError as error:
            missing.append(str(error))
    for sentence in missing:
        print(sentence, file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
