"""The table that the MySQL benchmarks read: 14 columns of the usual types, about 10 % NULL in four of them."""

from __future__ import annotations

from tests.services.mysql.server import MariaDB

COLUMNS = (
    *("id", "customer_id", "product_id", "qty", "price", "discount", "score", "status", "country", "is_gift"),
    *("created_at", "updated_at", "order_date", "note"),
)


def load(server: MariaDB, rows: int) -> None:
    """Made by the server itself from a counter, the same on every run."""
    server.execute(
        "drop table if exists orders",
        """create table orders(
            id bigint not null primary key, customer_id int not null, product_id int not null, qty smallint not null,
            price decimal(12,2) not null, discount decimal(6,4), score double, status varchar(12) not null,
            country char(2) not null, is_gift tinyint(1) not null, created_at datetime(6) not null,
            updated_at timestamp null, order_date date not null, note varchar(80)) character set utf8mb4""",
    )
    step = 250_000
    for start in range(0, rows, step):
        server.execute(
            "set session max_recursive_iterations = 10000000",
            _INSERT.format(low=start + 1, high=min(start + step, rows)),
        )
    server.execute("analyze table orders")


_INSERT = """
insert into orders
with recursive n(i) as (select {low} union all select i + 1 from n where i < {high}),
h as (select i, crc32(i) a, crc32(concat('b', i)) b, crc32(concat('c', i)) c, crc32(concat('n', i)) % 10 = 0 z from n)
select i, 1 + a % 200000, 1 + b % 20000, 1 + c % 20, round(1 + pow(a % 1000, 2) / 3700, 2),
       if(z, null, round(b % 10000 / 10000, 4)), if(z, null, (cast(c % 100000 as signed) - 50000) / 12345),
       elt(1 + a % 5, 'new', 'paid', 'shipped', 'returned', 'cancelled'),
       elt(1 + b % 10, 'CN', 'US', 'DE', 'FR', 'JP', 'BR', 'IN', 'GB', 'ZA', 'MX'), c % 2,
       timestamp'2022-01-01 00:00:00' + interval i * 31 second + interval a % 1000000 microsecond,
       if(z, null, timestamp'2022-01-01 00:00:00' + interval i * 31 second),
       date(timestamp'2022-01-01 00:00:00' + interval i * 31 second),
       if(z, null, concat('note 客户 ', 1 + a % 200000, ' / batch ', i % 977))
from h"""
