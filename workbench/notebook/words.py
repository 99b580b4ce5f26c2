"""Words of DuckDB's SQL: those worth a suggestion, the commonest first, and those that are no names unless quoted."""

from __future__ import annotations

__all__ = ["FUNCTIONS", "KEYWORDS", "RESERVED"]

_KEYWORDS = """
    select from where group by order having limit join left right full outer inner cross on using as and or not
    in is null like ilike between exists case when then else end with recursive union all distinct asc desc nulls first
    last offset qualify window over partition rows range unbounded preceding following current row filter values
    intersect except exclude replace pivot unpivot semi anti asof natural lateral cast interval date timestamp true
    false describe summarize explain create temp table drop sample tablesample
"""
KEYWORDS = tuple(_KEYWORDS.split())

_FUNCTIONS = """
    count sum avg min max any_value first last median mode stddev variance quantile_cont approx_count_distinct
    arg_max arg_min string_agg list array_agg bool_and bool_or coalesce nullif greatest least abs round floor ceil
    sqrt ln log10 exp power random date_trunc date_part date_diff date_add extract strftime strptime epoch epoch_ms
    to_timestamp now today year month day hour minute dayofweek week quarter lower upper trim length substring replace
    split_part concat concat_ws contains starts_with ends_with regexp_matches regexp_extract regexp_replace format
    row_number rank dense_rank ntile lag lead first_value last_value cume_dist percent_rank unnest range
    generate_series struct_pack map hash md5 try_cast typeof
"""
FUNCTIONS = tuple(_FUNCTIONS.split())

_RESERVED = """
    all analyse analyze and anti any array as asc asof asymmetric authorization binary both case cast check collate
    collation column concurrently constraint create cross default deferrable desc describe distinct do else end except
    false fetch for foreign freeze from full glob group having ilike in initially inner intersect into is isnull join
    lambda lateral leading left like limit map natural not notnull null offset on only or order outer overlaps pivot
    pivot_longer pivot_wider placing positional primary qualify references returning right select semi show similar
    some struct summarize symmetric table tablesample then to trailing true try_cast union unique unpivot using
    variadic verbose when where window with
"""
RESERVED = frozenset(_RESERVED.split())
