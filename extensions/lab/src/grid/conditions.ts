import { ColumnInfo, Conditions, Filter, Sort, State, View } from './api';

/** What a column's values are, as far as asking for them goes. */
export type Family = 'number' | 'text' | 'bool' | 'time' | 'other';

export function familyOf(type: string): Family {
  if (/^(u?int|float|double|halffloat|decimal)/.test(type)) {
    return 'number';
  }
  if (/^(large_)?(string|utf8)|^dictionary/.test(type)) {
    return 'text';
  }
  if (/^(date|time)/.test(type)) {
    return 'time';
  }
  return type === 'bool' ? 'bool' : 'other';
}

/** How many values an operator takes. */
export interface Operator {
  op: string;
  words: string;
  values: 0 | 1 | 2 | 'list';
}

const NULLS: Operator[] = [
  { op: 'is_null', words: 'is NULL', values: 0 },
  { op: 'not_null', words: 'is not NULL', values: 0 }
];
const EQUAL: Operator[] = [
  { op: 'eq', words: '=', values: 1 },
  { op: 'ne', words: '≠', values: 1 }
];
const ORDERED: Operator[] = [
  { op: 'lt', words: '<', values: 1 },
  { op: 'le', words: '≤', values: 1 },
  { op: 'gt', words: '>', values: 1 },
  { op: 'ge', words: '≥', values: 1 },
  { op: 'between', words: 'between', values: 2 }
];
const TEXT: Operator[] = [
  { op: 'contains', words: 'contains', values: 1 },
  { op: 'starts_with', words: 'starts with', values: 1 },
  { op: 'ends_with', words: 'ends with', values: 1 }
];
const IN: Operator = { op: 'in', words: 'is one of', values: 'list' };

export const OPERATORS: Record<Family, Operator[]> = {
  text: [...TEXT, ...EQUAL, IN, ...ORDERED, ...NULLS],
  number: [...EQUAL, ...ORDERED, IN, ...NULLS],
  time: [...ORDERED.slice(2), ...ORDERED.slice(0, 2), ...EQUAL, ...NULLS],
  bool: [EQUAL[0], ...NULLS],
  other: NULLS
};

export function sentence(filter: Filter, info: ColumnInfo | undefined): string {
  const known = Object.values(OPERATORS).flat().find(one => one.op === filter.op);
  const family = info ? familyOf(info.type) : 'text';
  const shown = (value: unknown) => (family === 'text' ? `'${String(value)}'` : String(value));
  const { value } = filter;
  const values = Array.isArray(value) ? value.map(shown).join(filter.op === 'between' ? ' and ' : ', ') : value;
  const tail = value === undefined ? '' : ' ' + (Array.isArray(value) ? values : shown(value));
  return `${filter.column} ${known?.words ?? filter.op}${tail}`;
}

/** The next of: ascending, descending, as it came. With `add` the other columns' sorting stays. */
export function sorted(before: Sort[], column: string, add: boolean): Sort[] {
  const mine = before.find(one => one.column === column);
  const others = before.filter(one => one.column !== column);
  const next = mine === undefined ? [{ column, descending: false }] : mine.descending ? [] : [{ column, descending: true }];
  if (!add) {
    return next;
  }
  // In its place, for the order of the columns is the order of their importance.
  return mine && next.length ? before.map(one => (one === mine ? next[0] : one)) : [...others, ...next];
}

export function none(conditions: Conditions): boolean {
  return conditions.sort.length + conditions.filters.length === 0 && conditions.search === '';
}

/** Whether rows are left out, not only put in another order. */
export function narrows(conditions: Conditions): boolean {
  return conditions.filters.length > 0 || conditions.search !== '';
}

const grouped = (count: number) => count.toLocaleString('en-US');
const rowsOf = (count: number) => (count === 1 ? '1 row' : `${grouped(count)} rows`);

/** Of an estimate no more digits than it is good for. */
function about(estimate: number | null, rows: number): string {
  const rounded = Number((estimate ?? 0).toPrecision(2));
  return rounded > rows ? `of about ${grouped(rounded)}` : '';
}

/** How many rows there are, honestly: what is known, and that more exist where they do. */
export function counted(state: State, rows: number, found: number | null, estimate: number | null = null): string {
  const guess = found === null ? about(estimate, rows) : '';
  const of = found === null ? '' : `${grouped(found)} of `;
  switch (state) {
    case 'running':
      return found === null ? `${rowsOf(rows)} so far${guess && `, ${guess}`}` : `${of}the ${rowsOf(rows)} so far`;
    case 'capped':
      if (guess) {
        return `first ${grouped(rows)} ${guess} rows`;
      }
      return `${found === null ? '' : `${of}the `}first ${rowsOf(rows)}, more rows exist`;
    case 'stopped':
      return `${of}${rowsOf(rows)}, then it was stopped`;
    case 'failed':
      return `${of}${rowsOf(rows)}, then it failed`;
    default:
      return `${of}${rowsOf(rows)}`;
  }
}

/** How far the search for rows is, in words. */
export function sought(view: View, narrowing: boolean): string {
  if (view.total !== null) {
    return `${rowsOf(view.total)}, sorting; the first ${grouped(view.rows)} are here`;
  }
  const part = view.of ? Math.floor((100 * view.seen) / view.of) : 0;
  return narrowing ? `${grouped(view.rows)} so far; ${part}% of ${rowsOf(view.of)} looked at` : `sorting ${rowsOf(view.of)}`;
}
