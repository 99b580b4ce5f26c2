import { RESERVED } from './words';

/** A table as the catalog lists it. */
export interface TablePath {
  connection: string;
  schema: string | null;
  name: string;
}

const PLAIN = /^[\p{L}_][\p{L}\p{N}_]*$/u;

/** A name as it is written in SQL. */
export function quoted(name: string): string {
  return PLAIN.test(name) && !RESERVED.has(name.toLowerCase()) ? name : `"${name.replace(/"/g, '""')}"`;
}

/** `connection.table` or `connection.schema.table`. */
export function pathOf(table: TablePath): string {
  return [table.connection, table.schema, table.name].filter(part => part !== null && part !== '').map(part => quoted(part!)).join('.');
}

let insertedRows = 100;

/** How many rows a cell reads that is made for a table. */
export function setInsertedRows(count: number): void {
  insertedRows = count;
}

/** A cell that reads the first rows of the table. */
export function selectCell(table: TablePath): string {
  return `%%sql\nselect *\nfrom ${pathOf(table)}\nlimit ${insertedRows}`;
}
