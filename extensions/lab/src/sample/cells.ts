import { isNumeric } from '../grid/format';
import { decoded } from '../grid/page';

/** Rows as text. null is NULL, which an empty text is not. */
export interface Sample {
  columns: { name: string; type: string; number: boolean }[];
  rows: (string | null)[][];
}

/** A page of the server as text, each value as the grid shows it. */
export async function cells(stream: Uint8Array): Promise<Sample> {
  const page = await decoded(stream);
  const columns = page.fields.map(field => ({
    name: field.name,
    type: field.metadata?.get('source_type') ?? '',
    number: isNumeric(field.type)
  }));
  const rows = Array.from({ length: page.rows }, (_, row) =>
    columns.map((_, place) => {
      const { kind, text, cut } = page.cell(row, place);
      return kind === 'null' ? null : cut && kind !== 'binary' ? `${text}…` : text; // bytes say how many there are
    })
  );
  return { columns, rows };
}
