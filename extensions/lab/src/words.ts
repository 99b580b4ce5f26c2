/*
 * DuckDB's reserved words, and of the others those that steer a statement. The rest of its word list is left out on
 * purpose: `name`, `value` or `level` is nearly always somebody's column, and a column in the colour of a keyword misleads.
 */
export const KEYWORDS = `
  all analyse analyze and anti any array as asc asof at attach begin between both by case cast check coalesce collate
  column commit constraint copy create cross cube current default deferrable delete desc describe detach distinct do
  drop else end escape except exclude execute exists explain extract filter first following for foreign from full
  generated glob group grouping groups having if ignore ilike in initially inner insert install intersect into is isnull
  join key lambda last lateral leading left like limit load macro match materialized merge natural no not notnull nulls
  offset on only or order ordinality others outer over overlaps overlay partition percent pivot pivot_longer pivot_wider
  placing position positional pragma preceding primary qualify range recursive references rename replace respect
  returning right rollback rollup row rows sample schema select semi set sets show similar some substring summarize
  symmetric table tablesample temp temporary then ties to trailing transaction trim truncate try_cast unbounded union
  unique unpivot update use using values variadic view when where window with within without`;

export const TYPES = `
  bigint bignum binary bit bitstring blob bool boolean bpchar bytea char character date datetime dec decimal double enum
  float float4 float8 guid hugeint int int1 int128 int16 int2 int32 int4 int64 int8 integer interval json list long map
  numeric nvarchar precision real short smallint string struct text time time_ns timestamp timestamp_ms timestamp_ns
  timestamp_s timestamp_us timestamptz timetz tinyint ubigint uhugeint uint128 uint16 uint32 uint64 uint8 uinteger
  usmallint utinyint uuid varbinary varchar variant varint zone`;

/** A name that is one of these is written in quotes. */
export const RESERVED: ReadonlySet<string> = new Set(KEYWORDS.split(/\s+/).filter(Boolean));
