/** The first line of a SQL cell, as `workbench/notebook/options.py` reads it. Leading blank lines are IPython's. */
const HEAD = /^(\s*%%sql)(?=\s|$)([^\n]*)/;
const NATIVE = /\s+--native(?:=|\s+)(\S+)/;
const OPTIONS = /^(?:\s*(?:[^\W\d]\w*\s*<<|--(?:native|on|rows)(?:=|\s+)\S+|--(?:explain|help)(?=\s|$)))*\s*/;

export function isSql(source: string): boolean {
  return HEAD.test(source);
}

/** The options of the line, and where SQL that stands on it begins (null: none does). */
function head(source: string): { start: number; options: string; sql: string } | null {
  const found = HEAD.exec(source);
  if (found === null) {
    return null;
  }
  const options = OPTIONS.exec(found[2])?.[0] ?? '';
  return { start: found[1].length, options, sql: found[2].slice(options.length) };
}

/** The connection that gets the cell's text as it is; empty: the cell is the workbench's SQL over all of them. */
export function nativeOf(source: string): string {
  return NATIVE.exec(head(source)?.options ?? '')?.[1] ?? '';
}

/** What to change so that the cell goes to that connection, or to all with `''`: the text from … to becomes `insert`. */
export function withNative(source: string, connection: string): { from: number; to: number; insert: string } | null {
  const at = head(source);
  if (at === null) {
    return null;
  }
  const found = NATIVE.exec(at.options);
  const written = connection ? ` --native ${connection}` : '';
  if (found) {
    const from = at.start + found.index;
    return { from, to: from + found[0].length, insert: written };
  }
  const from = at.start + at.options.trimEnd().length;
  return { from, to: from, insert: written };
}

/** The same cell, asked for its plan only. */
export function explained(source: string): string {
  const at = head(source);
  if (at === null || /(^|\s)--explain(?=\s|$)/.test(at.options)) {
    return source;
  }
  return `${source.slice(0, at.start)} --explain${source.slice(at.start)}`;
}

/** The place in the cell of a line and a column of its statement, both from 1; null where there is no such place. */
export function placeIn(source: string, line: number, column: number): number | null {
  const at = head(source);
  if (at === null) {
    return null;
  }
  const lines = source.slice(at.start).split('\n');
  const onHead = at.sql.trim() !== '';
  // A native text is sent without the blank lines around it.
  let first = onHead ? 0 : 1;
  if (!onHead && nativeOf(source)) {
    while (first < lines.length && lines[first].trim() === '') {
      first++;
    }
  }
  const wanted = first + line - 1;
  if (wanted >= lines.length) {
    return null;
  }
  let start = at.start;
  for (let number = 0; number < wanted; number++) {
    start += lines[number].length + 1;
  }
  const indent = onHead && line === 1 ? at.options.length : nativeOf(source) && line === 1 ? lines[first].search(/\S/) : 0;
  return start + Math.min(indent + column - 1, lines[wanted].length);
}
