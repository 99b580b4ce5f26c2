import type { Column, Field } from '@uwdata/flechette';

import { Cell, cellOf, Kind } from './format';

/** Some rows and columns, as the server sent them. Columns are numbered within the page. */
export interface Page {
  rows: number;
  fields: readonly Field[];
  cell(row: number, column: number): Cell;
}

/**
 * Reads an Arrow stream. Bytes and nested values come as text, which the field says (`workbench.kind`), and of long values
 * comes the beginning, which the schema says (`workbench.cut`: for each column the rows). The decoder is loaded on first use.
 */
export async function decoded(bytes: Uint8Array): Promise<Page> {
  const { tableFromIPC } = await import('@uwdata/flechette');
  const table = tableFromIPC(bytes, { useBigInt: true, useDecimalInt: true });
  const { fields, metadata } = table.schema;
  const columns = fields.map((_, at) => table.getChildAt(at) as Column<unknown>);
  const kinds = fields.map(field => field.metadata?.get('workbench.kind') as Kind | undefined);
  const cut = new Map<number, Set<number>>();
  for (const [at, rows] of Object.entries(JSON.parse(metadata?.get('workbench.cut') ?? '{}') as Record<string, number[]>)) {
    cut.set(Number(at), new Set(rows));
  }
  return {
    rows: table.numRows,
    fields,
    cell: (row, at) => {
      const cell = cellOf(columns[at], row);
      const kind = cell.kind === 'null' ? 'null' : (kinds[at] ?? cell.kind);
      return kind === cell.kind && !cut.get(at)?.has(row) ? cell : { text: cell.text, kind, cut: cut.get(at)?.has(row) };
    }
  };
}
