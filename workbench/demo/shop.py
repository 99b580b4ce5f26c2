"""The shop's own tables: customers, items, and two years of orders, of which those on the web in the last ninety days
are the purchases among the events."""

from __future__ import annotations

import duckdb

from workbench.demo.shape import (
    ADJECTIVES,
    BRANDS,
    CATEGORIES,
    DAYS,
    FAMILY,
    FIRST_DAY,
    GIVEN,
    HISTORY_DAYS,
    HOURS,
    SALE_DAY,
    WEEK,
    Shape,
)
from workbench.demo.sql import literal

__all__ = ["make_orders", "make_people_and_items"]


def make_people_and_items(engine: duckdb.DuckDBPyConnection, shape: Shape) -> None:
    """Tables `shop.customers` and `shop.items`. Needs `shop.orders`."""
    engine.execute("""create table shop.customers (
        customer_id bigint primary key, name varchar not null, email varchar, country varchar not null,
        segment varchar not null, signed_up date not null, birth_year smallint, newsletter boolean not null)""")
    # Nobody orders before signing up.
    engine.execute(f"""
        insert into shop.customers
        with first_orders as (select customer_id, min(ordered_at)::date as ordered from shop.orders group by 1)
        select c, pick({literal(GIVEN)}, c, 'given') || ' ' || pick({literal(FAMILY)}, c, 'family'),
            case when u(c, 'email') < 0.96 then 'customer' || c || '@mail.example' end, country_of(c),
            pick(['private', 'private', 'private', 'private', 'company', 'school'], c, 'segment'),
            least(ordered, date '{FIRST_DAY}' + {DAYS} - 1 - floor({HISTORY_DAYS} * u(c, 'signed'))::integer),
            case when u(c, 'born') < 0.8 then 1945 + floor(60 * u(c, 'year'))::smallint end, u(c, 'news') < 0.4
        from range(1, {shape.customers + 1}) t(c) left join first_orders on customer_id = c order by c""")
    engine.execute("""create table shop.items (
        item_id integer primary key, name varchar not null, category varchar not null, brand varchar,
        price decimal(10, 2) not null, cost decimal(10, 2) not null, added date not null, active boolean not null)""")
    engine.execute(f"""
        insert into shop.items
        select i, pick({literal(ADJECTIVES)}, i, 'adjective') || ' ' || category || ' no. ' || i, category,
            case when u(i, 'branded') < 0.9 then pick({literal(BRANDS)}, i, 'brand') end, price,
            (price::double * (0.35 + 0.3 * u(i, 'cost')))::decimal(10, 2),
            date '{FIRST_DAY}' - floor(1200 * u(i, 'added'))::integer, u(i, 'active') < 0.95
        from (select i, price_of(i) as price, pick({literal(CATEGORIES)}, i, 'in') as category
            from range(1, {shape.items + 1}) t(i)) order by i""")


def make_orders(engine: duckdb.DuckDBPyConnection, shape: Shape) -> None:
    """Table `shop.orders`, and `web_orders`: which session ended with which. Needs `sessions`."""
    before = HISTORY_DAYS - DAYS
    engine.execute("""
        create temp table drafts as
        select s as k, s as session, customer_id, some_item(s * 64 + last_view, 'item') as item_id,
            begun + to_microseconds(((last_view + 2) * pace * 1000000
                + u(s * 64 + last_view + 3, 'pause') * pace * 900000)::bigint) as ordered_at, 'web' as channel, source
        from sessions where stage = 5""")
    ((on_the_web,),) = engine.execute("select count(*) from drafts").fetchall()
    others = max(0, shape.orders - on_the_web)
    # Web orders of the last ninety days come from the events, so the other channels alone are made up for these.
    engine.execute(f"""
        insert into drafts
        with weights as (
            select d, h, (1 + 0.5 * d / {HISTORY_DAYS}) * {literal(WEEK)}[1 + (d + {7 - before % 7}) % 7]
                * {literal(HOURS)}[1 + h]
                * case when d = {before + SALE_DAY} then 1.6 else 1 end
                * case when d >= {before} then 0.62 else 1 end
                * (1 + 0.5 * exp(-power(((d + 304) % 365 - 345) / 12.0, 2))) as w  -- December
            from range({HISTORY_DAYS}) days(d), range(24) hours(h)
        ), shares as (
            select d, h, sum(w) over (order by d, h) / sum(w) over () as upto from weights
        ), cells as (
            select d, h, round(upto * {others})::bigint
                - coalesce(lag(round(upto * {others})::bigint) over (order by d, h), 0) as n from shares
        ), born as (
            select 1000000000000 + (d * 24 + h) * 100000000 + unnest(range(n)) as k, d, h from cells
        )
        select k, null, some_customer(k, 'who'), some_item(k, 'item'),
            timestamp '{FIRST_DAY}' - to_days({before}) + to_hours(d * 24 + h) + to_seconds(floor(u(k, 'at') * 3600)),
            case when d < {before} and u(k, 'channel') < 0.36 then 'web'
                else pick(['store', 'store', 'store', 'phone', 'marketplace'], k, 'other') end as channel, null
        from born""")
    engine.execute("""create table shop.orders (
        order_id bigint primary key, customer_id bigint not null, item_id integer not null,
        ordered_at timestamp not null, quantity integer not null, unit_price decimal(10, 2) not null,
        discount smallint not null, total decimal(12, 2) not null, status varchar not null, channel varchar not null,
        source varchar)""")
    engine.execute("""
        create temp table placed as
        select row_number() over (order by ordered_at, k) as order_id, *, quantity_of(k) as quantity,
            price_of(item_id) as unit_price, discount_of(k) as discount from drafts""")
    engine.execute(f"""
        insert into shop.orders
        select order_id, customer_id, item_id, ordered_at, quantity, unit_price, discount,
            total_of(quantity, unit_price, discount),
            case when u(k, 'status') < 0.03 then 'cancelled' when u(k, 'status') < 0.08 then 'returned'
                when ordered_at > timestamp '{FIRST_DAY}' + to_days({DAYS - 4}) then 'open' else 'delivered' end,
            channel, source
        from placed order by order_id""")
    engine.execute("""
        create temp table web_orders as
        select session, order_id, total_of(quantity, unit_price, discount) as total from placed
        where session is not null""")
    engine.execute("drop table drafts; drop table placed")
