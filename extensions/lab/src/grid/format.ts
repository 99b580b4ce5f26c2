import type { Column, DataType } from '@uwdata/flechette';

/** What kind of value a cell holds, which decides its colour, its side and its viewer. */
export type Kind = 'null' | 'number' | 'text' | 'bool' | 'time' | 'binary' | 'nested';

export interface Cell {
  /** The value as text, exact: what is copied. */
  text: string;
  kind: Kind;
  /** Only the beginning: the server does not send long values with a page. */
  cut?: boolean;
}

// Arrow's own numbers of its types, as in its Schema.fbs. A namespace import would pull the whole decoder in here.
const INT = 2, FLOAT = 3, BINARY = 4, BOOL = 6, DECIMAL = 7, DATE = 8, TIME = 9, TIMESTAMP = 10, INTERVAL = 11;
const FIXED_BINARY = 15, DURATION = 18, LARGE_BINARY = 19, BINARY_VIEW = 23;
const NESTED = new Set([12, 13, 14, 16, 17, 21, 25, 26]);
const PER_SECOND = [1n, 1_000n, 1_000_000n, 1_000_000_000n];
const FURTHEST = 8_640_000_000_000n; // seconds that a Date can hold
const DAY = 86_400n;
const NO_DAY = 2_147_483_647n; // days that stand for infinity in DuckDB,
const NEVER = 9_223_372_036_854_775_807n; // and the same of moments

const NULL: Cell = { text: '', kind: 'null' };

/** The cell of one row of a decoded column. */
export function cellOf(column: Column<unknown>, row: number): Cell {
  let batch = column.data[0];
  let at = row;
  for (let i = 1; at >= batch.length && i < column.data.length; i++) {
    at -= batch.length;
    batch = column.data[i];
  }
  if (at >= batch.length || (batch.nullCount > 0 && !batch.isValid(at))) {
    return NULL;
  }
  const type = column.type;
  const raw = batch.values as ArrayLike<bigint | number> | undefined;
  switch (type.typeId) {
    case DATE:
      return { text: date(type.unit === 0 ? BigInt(raw![at]) * 86_400n : BigInt(raw![at]) / 1000n), kind: 'time' };
    case TIMESTAMP:
      return { text: timestamp(BigInt(raw![at]), type.unit, type.timezone), kind: 'time' };
    case TIME:
      return { text: clock(BigInt(raw![at]), type.unit), kind: 'time' };
    case DURATION:
      return { text: clock(BigInt(raw![at]), type.unit), kind: 'time' };
    default:
      return valueOf(batch.at(at), type);
  }
}

function valueOf(value: unknown, type: DataType): Cell {
  if (value === null || value === undefined) {
    return NULL;
  }
  switch (type.typeId) {
    case INT:
      return { text: String(value), kind: 'number' };
    case FLOAT:
      return { text: float(value as number, type.precision === 1), kind: 'number' };
    case DECIMAL:
      return { text: decimal(BigInt(value as bigint | number), type.scale), kind: 'number' };
    case BOOL:
      return { text: value ? 'true' : 'false', kind: 'bool' };
    case INTERVAL:
      return { text: interval(value as number | ArrayLike<number>), kind: 'time' };
    case BINARY:
    case LARGE_BINARY:
    case FIXED_BINARY:
    case BINARY_VIEW:
      return { text: hex(value as Uint8Array), kind: 'binary' };
    case -1:
      return valueOf(value, type.dictionary);
    default:
      return NESTED.has(type.typeId) ? { text: json(value), kind: 'nested' } : { text: String(value), kind: 'text' };
  }
}

/** The side a column's values stand on. */
export function isNumeric(type: DataType): boolean {
  return type.typeId === INT || type.typeId === FLOAT || type.typeId === DECIMAL;
}

function float(value: number, single: boolean): string {
  if (single && Number.isFinite(value)) {
    for (let digits = 6; digits < 9; digits++) {
      const short = Number(value.toPrecision(digits));
      if (Math.fround(short) === value) {
        return String(short);
      }
    }
  }
  return Object.is(value, -0) ? '-0' : String(value);
}

function decimal(value: bigint, scale: number): string {
  if (scale <= 0) {
    return String(value * 10n ** BigInt(-scale));
  }
  const digits = String(value < 0n ? -value : value).padStart(scale + 1, '0');
  return `${value < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** Splits a count of units into whole seconds, rounded down, and its fraction `.123456`. */
function seconds(value: bigint, unit: number): [bigint, string] {
  const per = PER_SECOND[unit];
  const rest = ((value % per) + per) % per;
  const fraction = rest === 0n ? '' : '.' + String(rest).padStart(unit * 3, '0').replace(/0+$/, '');
  return [(value - rest) / per, fraction];
}

function date(since: bigint): string {
  if (since > FURTHEST || since < -FURTHEST) {
    const days = since / DAY;
    return days === NO_DAY || days === -NO_DAY ? infinity(days) : beyond(days);
  }
  return new Date(Number(since) * 1000).toISOString().replace(/T.*/, '');
}

function infinity(value: bigint): string {
  return value > 0n ? 'infinity' : '-infinity';
}

/** A day that no Date can hold, by the Gregorian calendar that goes on for ever (years counted from March). */
function beyond(days: bigint): string {
  const shifted = days + 719_468n;
  const era = (shifted >= 0n ? shifted : shifted - 146_096n) / 146_097n;
  const day = shifted - era * 146_097n;
  const year = (day - day / 1460n + day / 36_524n - day / 146_096n) / 365n;
  const rest = day - (365n * year + year / 4n - year / 100n);
  const moon = (5n * rest + 2n) / 153n;
  const month = moon < 10n ? moon + 3n : moon - 9n;
  const full = year + era * 400n + (month <= 2n ? 1n : 0n);
  const two = (number: bigint): string => String(number).padStart(2, '0');
  return `${full < 0n ? '-' : '+'}${String(full < 0n ? -full : full).padStart(6, '0')}-${two(month)}-${two(rest - (153n * moon + 2n) / 5n + 1n)}`;
}

function timestamp(value: bigint, unit: number, zone: string | null): string {
  const [since, fraction] = seconds(value, unit);
  if (since > FURTHEST || since < -FURTHEST) {
    const left = ((since % DAY) + DAY) % DAY;
    const clock = new Date(Number(left) * 1000).toISOString().slice(11, 19);
    const far = value === NEVER || value === -NEVER;
    return far ? infinity(value) : `${beyond((since - left) / DAY)} ${clock}${fraction}${zone ? '+00:00' : ''}`;
  }
  const ms = Number(since) * 1000;
  const offset = zone ? offsetOf(zone, ms) : 0;
  const wall = new Date(ms + offset * 60_000).toISOString().replace('T', ' ').replace(/\.\d*Z$/, '');
  return wall + fraction + (zone ? sign(offset) : '');
}

function sign(minutes: number): string {
  const size = Math.abs(minutes);
  const two = (n: number) => String(Math.floor(n)).padStart(2, '0');
  return `${minutes < 0 ? '-' : '+'}${two(size / 60)}:${two(size % 60)}`;
}

const zones = new Map<string, Intl.DateTimeFormat | null>();

/** Minutes east of UTC; 0 where the browser does not know the zone. */
function offsetOf(zone: string, ms: number): number {
  const fixed = /^([+-])(\d\d):?(\d\d)$/.exec(zone);
  if (fixed) {
    return (fixed[1] === '-' ? -1 : 1) * (Number(fixed[2]) * 60 + Number(fixed[3]));
  }
  if (zone === 'UTC') {
    return 0;
  }
  let known = zones.get(zone);
  if (known === undefined) {
    try {
      known = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' });
    } catch {
      known = null; // not a zone of this browser: UTC, and the offset says so
    }
    zones.set(zone, known);
  }
  const name = known?.formatToParts(ms).find(part => part.type === 'timeZoneName')?.value ?? '';
  const parts = /([+-])(\d\d):(\d\d)/.exec(name);
  return parts ? (parts[1] === '-' ? -1 : 1) * (Number(parts[2]) * 60 + Number(parts[3])) : 0;
}

/** `12:34:56.5`, with as many hours as there are. */
function clock(value: bigint, unit: number): string {
  const [since, fraction] = seconds(value < 0n ? -value : value, unit);
  const two = (n: bigint) => String(n).padStart(2, '0');
  return `${value < 0n ? '-' : ''}${two(since / 3600n)}:${two((since / 60n) % 60n)}:${two(since % 60n)}${fraction}`;
}

function interval(value: number | ArrayLike<number>): string {
  const parts = typeof value === 'number' ? [value, 0, 0] : Array.from(value);
  const [months, days, nanos] = parts.length === 2 ? [0, parts[0], parts[1] * 1e6] : parts;
  const words = [];
  if (months) {
    words.push(`${months} months`);
  }
  if (days) {
    words.push(`${days} days`);
  }
  return nanos || words.length === 0 ? [...words, clock(BigInt(Math.round(nanos)), 3)].join(' ') : words.join(' ');
}

const LONGEST_HEX = 48;

export function hex(bytes: Uint8Array): string {
  const shown = Array.from(bytes.subarray(0, LONGEST_HEX), byte => byte.toString(16).padStart(2, '0')).join('');
  return `0x${shown}${bytes.length > LONGEST_HEX ? `… (${bytes.length.toLocaleString('en-US')} bytes)` : ''}`;
}

function json(value: unknown): string {
  return JSON.stringify(value, (_, inner) => {
    if (typeof inner === 'bigint') {
      return Number.isSafeInteger(Number(inner)) ? Number(inner) : String(inner);
    }
    if (inner instanceof Uint8Array) {
      return hex(inner);
    }
    return ArrayBuffer.isView(inner) ? Array.from(inner as unknown as ArrayLike<unknown>) : inner;
  });
}

// What has no picture of its own, or would turn the text around it.
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const LONGEST_DRAWN = 300;

/** One line for the canvas: short enough to measure, and every character that would not be seen made visible. */
export function drawn(text: string, cut = false): string {
  const short = text.length > LONGEST_DRAWN || cut ? text.slice(0, LONGEST_DRAWN) + '…' : text;
  return short.replace(INVISIBLE, one => {
    const code = one.charCodeAt(0);
    return one === '\n' ? '⏎' : code < 32 ? String.fromCharCode(0x2400 + code) : '·';
  });
}
