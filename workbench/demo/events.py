"""Ninety days of visits to the shop, as a tracker would have written them down (the names are those of GA4).

What an analyst stumbles over elsewhere is in here on purpose: events of one moment (a page and what it shows have the
same `ts`), page views that fired twice, sessions over midnight, a few hours in which nothing was recorded, a handful of
bots, `session_id` that is only unique together with `client_id`, `user_id` that is only there after log-in.
"""

from __future__ import annotations

import duckdb

from workbench.demo.shape import CATEGORIES, CHANNELS, DAYS, FIRST_DAY, HOURS, OUTAGE, SALE_DAY, WEEK, Shape
from workbench.demo.sql import literal

__all__ = ["COLUMNS", "make_events", "make_sessions"]

COLUMNS = (
    "event_id", "ts", "event_name", "user_id", "client_id", "session_id", "source", "medium", "campaign", "device",
    "country", "page", "referrer", "item_id", "order_id", "value",
)  # fmt: skip

# A session is a word whose letters are its events in order. Small print: an event of the same moment as the one before.
_NAMES = {
    "F": "first_visit", "S": "session_start", "P": "page_view", "p": "page_view", "C": "scroll", "Q": "search",
    "I": "page_view", "V": "view_item", "A": "add_to_cart", "K": "page_view", "B": "begin_checkout",
    "T": "page_view", "U": "purchase",
}  # fmt: skip
_SAME_MOMENT = "FSpVBU"


def make_sessions(engine: duckdb.DuckDBPyConnection, shape: Shape) -> None:
    """Table `sessions`: one row a visit, with all that the visit's events have in common."""
    day, first, last = OUTAGE
    channels = [
        {"source": a, "medium": b, "campaign": c, "referrer": d}
        for a, b, c, d, weight in CHANNELS
        for _ in range(weight)
    ]
    shown = (
        "[" + ", ".join("{" + ", ".join(f"{k}: {literal(v)}" for k, v in one.items()) + "}" for one in channels) + "]"
    )
    engine.execute(f"""
        create temp table cells as
        with weights as (
            select d, h, (1 + 0.3 * d / {DAYS}) * {literal(WEEK)}[1 + d % 7] * {literal(HOURS)}[1 + h]
                * case when d = {SALE_DAY} then 2.2 else 1 end
                * case when d = {day} and h between {first} and {last} then 0 else 1 end as w
            from range({DAYS}) days(d), range(24) hours(h)
        ), shares as (
            select d, h, sum(w) over (order by d, h) / sum(w) over () as upto from weights
        )
        select d, h, round(upto * {shape.sessions})::bigint
            - coalesce(lag(round(upto * {shape.sessions})::bigint) over (order by d, h), 0) as n
        from shares""")
    engine.execute(f"""
        create temp table sessions as
        with born as (
            select (d * 24 + h) * 100000000 + unnest(range(n)) as s, d,
                timestamp '{FIRST_DAY}' + to_hours(d * 24 + h) as hour
            from cells
        ), placed as (
            select s, d, hour + to_microseconds(floor(u(s, 'second') * 3.6e9)::bigint) as begun,
                pick({shown}, s, 'channel') as channel, u(s, 'stage') as luck, u(s, 'known') < 0.3 as logged_in
            from born
        ), staged as (
            select *, case
                when luck < 0.42 then 0 when luck < 0.62 then 1 when luck < 0.865 then 2 when luck < 0.925 then 3
                when luck < 0.957 + case channel.medium when 'email' then -0.012 when 'paid_social' then 0.01 else 0 end
                    then 4
                else 5 end as stage
            from placed
        ), known as (
            select *, case when logged_in or stage = 5 then some_customer(s, 'who') end as customer_id,
                case when logged_in or stage = 5 then 1000000 + customer_id
                    else 2000000 + floor({shape.clients} * power(u(s, 'client'), 1.3))::bigint end as client
            from staged
        )
        select s, begun, stage, customer_id, client,
            case when d = {SALE_DAY} and channel.medium in ('email', 'cpc') then 'autumn_sale'
                else channel.campaign end as campaign,
            channel.source as source, channel.medium as medium, channel.referrer as referrer,
            device_of(client) as device, country_of(coalesce(customer_id, client)) as country,
            6 + 45 * u(s, 'pace') as pace,
            case when u(s, 'new') < 0.25 then 'F' else '' end || 'SP'
                || case when u(s, 'double') < 0.02 then 'p' else '' end
                || case when u(s, 'scroll') < 0.5 then 'C' else '' end
                || case when stage >= 1 and u(s, 'search') < 0.3 then 'PQ' else '' end
                || case when stage = 1 then repeat('PC', 1 + (u(s, 'walk') * 3)::integer) else '' end as way_in,
            case when stage < 2 then 0 else 1 + floor(4 * power(u(s, 'views'), 2))::integer end as views,
            way_in || repeat('IV', views)
                || case stage when 3 then 'A' when 4 then 'AKB' when 5 then 'AKBTU' else '' end as word,
            length(translate(way_in, '{_SAME_MOMENT}', '')) + views as last_view
        from known""")


def make_events(engine: duckdb.DuckDBPyConnection, shape: Shape) -> None:
    """Table `events`, in the order of time. Needs `sessions` and `web_orders` (session, order, value)."""
    names = "map {" + ", ".join(f"'{letter}': '{name}'" for letter, name in _NAMES.items()) + "}"
    last = f"timestamp '{FIRST_DAY}' + to_days({DAYS}) - interval 1 microsecond"
    engine.execute(f"""
        create temp table raw_events as
        with letters as (
            select * exclude (word, way_in), unnest(range(1, length(word) + 1)) as place, word from sessions
        ), steps as (
            select *, substring(word, place, 1) as letter,
                length(translate(substring(word, 1, place), '{_SAME_MOMENT}', '')) as moment
            from letters
        ), items as (
            select *, case when letter in ('I', 'V') then some_item(s * 64 + moment, 'item')
                when letter in ('A', 'B', 'U') then some_item(s * 64 + last_view, 'item') end as item_id,
            from steps
        )
        select s, place,
            -- the visit begins with its first page, at moment 1 or, for what comes with it, 0
            begun + to_microseconds((greatest(moment - 1, 0) * pace * 1000000
                + case when moment <= 1 then 0 else u(s * 64 + moment, 'pause') * pace * 900000 end)::bigint) as ts,
            {names}[letter] as event_name, customer_id as user_id, client, begun,
            source, medium, campaign, device, country,
            case letter when 'I' then '/item/' || item_id when 'V' then '/item/' || item_id
                when 'A' then '/item/' || item_id
                when 'Q' then '/search?q=' || pick({literal(CATEGORIES)}, s, 'query')
                when 'K' then '/checkout' when 'B' then '/checkout' when 'T' then '/thanks' when 'U' then '/thanks'
                else case when moment <= 1 and u(s, 'landing') < 0.6 then '/'
                    else '/c/' || pick({literal(CATEGORIES)}, s * 64 + moment, 'category') end end as page,
            case when moment <= 1 then referrer end as referrer,
            item_id, order_id,
            case when letter = 'U' then web_orders.total
                when letter in ('V', 'A', 'B') then price_of(item_id) end::decimal(12, 2) as value
        from items left join web_orders on items.letter = 'U' and items.s = web_orders.session
        union all
        select 900000000000 + bot, n, begun + to_microseconds((n * 450000 + u(n, bot) * 50000)::bigint),
            case when n % 2 = 0 then 'page_view' else 'view_item' end, null, 3000000 + bot, begun,
            '(direct)', '(none)', null, 'desktop', 'US', '/item/' || (1 + (n // 2) % {shape.items}), null,
            case when n % 2 = 1 then 1 + (n // 2) % {shape.items} end, null,
            case when n % 2 = 1 then price_of(1 + (n // 2) % {shape.items}) end
        from (select bot, n, timestamp '{FIRST_DAY}'
                + to_hours((u(bot, 'bot') * {DAYS - 2} * 24)::bigint) + interval 7 minute as begun
            from range({shape.bots}) bots(bot), range({shape.bot_events}) steps(n))""")
    engine.execute(f"""
        create temp table events as
        select row_number() over (order by ts, s, place) as event_id, ts, event_name, user_id,
            (1000000000 + hash(client, 'c') % 1000000000)::varchar || '.' || client::varchar as client_id,
            epoch(begun)::bigint as session_id, source, medium, campaign, device, country, page, referrer,
            item_id::integer as item_id, order_id, value
        from raw_events where ts <= {last} order by event_id""")
    engine.execute("drop table raw_events")
