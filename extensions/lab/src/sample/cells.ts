import { tableFromIPC, Type } from '@uwdata/flechette';

/** Rows as text. null is NULL, which an empty text is not. */
export interface Sample {
  columns: { name: string; type: string; number: boolean }[];
  rows: (string | null)[][];
}

const NUMBERS: ReadonlySet<number> = new Set([Type.Int, Type.Float, Type.Decimal]);
const LONGEST = 1000;

/** An Arrow stream as text, each value about as SQL would write it. */
export function cells(stream: Uint8Array): Sample {
  const table = tableFromIPC(stream, { useBigInt: true, useDecimalInt: true });
  const fields = table.schema.fields as unknown as Field[];
  const columns = fields.map(field => ({
    name: field.name,
    type: field.metadata?.get('source_type') ?? '',
    number: NUMBERS.has(field.type.typeId)
  }));
  const vectors = fields.map((_, place) => table.getChildAt(place));
  const rows: (string | null)[][] = [];
  for (let number = 0; number < table.numRows; number++) {
    rows.push(vectors.map((vector, place) => written(vector.at(number), fields[place].type)));
  }
  return { columns, rows };
}

interface Kind {
  typeId: number;
  scale?: number;
  unit?: number;
}

interface Field {
  name: string;
  type: Kind;
  metadata: Map<string, string> | null;
}

function written(value: unknown, type: Kind): string | null {
  if (value === null || value === undefined) {
    return null;
  }
  const text = plain(value, type);
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

function plain(value: unknown, type: Kind): string {
  if (value instanceof Uint8Array) {
    const some = [...value.subarray(0, LONGEST)];
    return `\\x${some.map(byte => byte.toString(16).padStart(2, '0')).join('')}`;
  }
  switch (type.typeId) {
    case Type.Date:
      return moment(Number(value)).replace(/T.*/, '');
    case Type.Timestamp:
      return moment(Number(value)).replace('T', ' ').replace(/\.?0*Z$/, '');
    case Type.Time:
      return moment(Number(value) / 1000 ** (type.unit! - 1)).slice(-13).replace(/\.?0*Z$/, '');
    case Type.Decimal:
      return pointed(BigInt(value as number | bigint), type.scale ?? 0);
  }
  if (typeof value === 'object') {
    return JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? inner.toString() : inner));
  }
  return String(value);
}

/** `2026-11-28T12:00:00.000Z`; a time that no calendar of the browser reaches is the number of its milliseconds. */
function moment(milliseconds: number): string {
  return Math.abs(milliseconds) <= 8.64e15 ? new Date(milliseconds).toISOString() : `${milliseconds} ms             `;
}

function pointed(unscaled: bigint, scale: number): string {
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
  const sign = unscaled < 0n ? '-' : '';
  return scale > 0 ? `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}` : sign + digits;
}
