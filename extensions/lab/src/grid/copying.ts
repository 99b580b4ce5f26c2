import { SelectionModel } from '@lumino/datagrid';

import { ResultApi } from './api';
import { ResultModel } from './model';
import { decoded } from './page';

const MOST_COPIED = 100_000;
// What the server gives in a page.
const PAGE = { rows: 1_000, columns: 500, cells: 50_000 };

/** What was copied, as tab-separated text, and how much of what was selected it is. */
interface Copied {
  text: string;
  rows: number;
  of: number;
  columns: number;
  /** Cells of which only the beginning is there, for the server cuts long ones. */
  cut: number;
}

// As in the server's exports: what a spreadsheet would run, also behind blanks, quotes and signs that are not seen, and in
// full width. A number with its sign is a number.
const FORMULA = /^(?:[\s\p{Z}\p{C}"]*[=+\-@|%\uFF1D\uFF0B\uFF0D\uFF20]|[\t\r\n])/u;
const NUMBER = /^-[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;

/** A text with an apostrophe before it where a spreadsheet would take it for a formula. */
function guarded(text: string): string {
  return FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text;
}

/** A value as spreadsheets take it from the clipboard: quoted where it would break the row. */
function field(text: string): string {
  return /["\t\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

/** Puts the selected cells, else all, into the clipboard, and gives the words for it. */
export async function copy(
  api: ResultApi,
  view: string,
  model: ResultModel,
  selection: SelectionModel.Selection | null
): Promise<string> {
  const all = { r1: 0, c1: 0, r2: model.rowCount('body') - 1, c2: model.order.length - 1 };
  const making = copied(api, view, model, selection ?? all);
  await toClipboard(making.then(({ text }) => text));
  return copiedWords(await making);
}

/** The selected cells with their columns' names, from the server where they are not on screen; at most MOST_COPIED. */
async function copied(api: ResultApi, view: string, model: ResultModel, picked: SelectionModel.Selection): Promise<Copied> {
  const [top, bottom] = [Math.min(picked.r1, picked.r2), Math.max(picked.r1, picked.r2)];
  const [left, right] = [Math.min(picked.c1, picked.c2), Math.max(picked.c1, picked.c2)];
  const shown = model.order.slice(left, right + 1);
  const of = bottom - top + 1;
  const rows = Math.min(of, Math.max(1, Math.floor(MOST_COPIED / shown.length)));
  const single = of === 1 && shown.length === 1;
  const lines = single ? [] : [shown.map(column => field(guarded(model.columns[column].name))).join('\t')];
  let cut = 0;
  const step = Math.min(PAGE.rows, Math.floor(PAGE.cells / Math.min(shown.length, PAGE.columns)));
  for (let start = top; start < top + rows; start += step) {
    const count = Math.min(step, top + rows - start);
    const fields = Array.from({ length: count }, (): string[] => []);
    for (let first = 0; first < shown.length; first += PAGE.columns) {
      const columns = shown.slice(first, first + PAGE.columns);
      const page = await decoded(await api.page(view, start, count, columns));
      for (let row = 0; row < Math.min(count, page.rows); row++) {
        const cells = columns.map((_, i) => page.cell(row, i));
        cut += cells.filter(cell => cell.cut).length;
        fields[row].push(...cells.map(({ text, kind }) => field(!single && kind === 'text' ? guarded(text) : text)));
      }
    }
    lines.push(...fields.map(row => row.join('\t')));
  }
  return { text: lines.join('\n'), rows, of, columns: shown.length, cut };
}

function copiedWords({ rows, of, columns, cut }: Copied): string {
  const grouped = (count: number) => count.toLocaleString('en-US');
  const what = rows === 1 && of === 1 && columns === 1 ? 'Copied 1 cell' : `Copied ${grouped(rows)} rows × ${grouped(columns)} columns`;
  const rest = rows < of ? `, the first of ${grouped(of)}: export for all` : '';
  return what + rest + (cut ? `; ${grouped(cut)} long values are cut` : '');
}

/** To the clipboard; the promise is handed over whole, for browsers allow it only in the event that asked for it. */
export async function toClipboard(text: Promise<string>): Promise<void> {
  if (navigator.clipboard?.write && typeof ClipboardItem !== 'undefined') {
    const blob = text.then(done => new Blob([done], { type: 'text/plain' }));
    await navigator.clipboard.write([new ClipboardItem({ 'text/plain': blob })]);
    return;
  }
  // A page that is not served securely has no clipboard but this one.
  const area = document.createElement('textarea');
  area.value = await text;
  area.style.position = 'fixed';
  area.style.opacity = '0';
  const before = document.activeElement as HTMLElement | null;
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  before?.focus();
  if (!done) {
    throw new Error('The browser did not allow copying.');
  }
}
