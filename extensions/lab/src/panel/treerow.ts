import { addIcon, caretDownIcon, caretRightIcon, codeIcon, LabIcon, refreshIcon, tableRowsIcon } from '@jupyterlab/ui-components';

import { grouped, h, iconButton } from '../dom';
import { schemaIcon, tableIcon, viewIcon } from '../icon';
import type { Row } from './tree';

/** What can be done with a row of the catalog. */
export interface RowActions {
  insertName(row: Row): void;
  insertCell(row: Row): void;
  sample(row: Row): void;
  refresh(row: Row): void;
  retry(row: Row): void;
}

export const EXPANDS = new Set(['connection', 'schema', 'table']);
const ICONS: Record<string, LabIcon> = { schema: schemaIcon, table: tableIcon, view: viewIcon };

/** A row of the tree as it is seen. `icon` draws a connection's own picture. */
export function drawRow(row: Row, place: number, selected: boolean, icon: () => HTMLElement, actions: RowActions): HTMLElement {
  const expands = EXPANDS.has(row.kind);
  const element = h('div', {
    class: 'wb-Row', role: 'treeitem', id: `wb-row-${place}`, 'data-place': place, 'data-kind': row.kind, title: title(row),
    'aria-level': row.level, 'aria-setsize': row.of, 'aria-posinset': row.at,
    'aria-expanded': expands ? String(row.open === true) : null,
    'aria-selected': String(selected), 'data-bad': row.bad === true
  });
  element.style.paddingLeft = `${(row.level - 1) * 14 + 4}px`;
  const caret = h('span', { class: 'wb-Row-caret', 'aria-hidden': 'true' });
  if (expands) {
    (row.open ? caretDownIcon : caretRightIcon).element({ container: caret, stylesheet: 'menuItem' });
  }
  element.append(caret);
  if (row.kind === 'connection') {
    element.append(icon());
  } else if (row.kind === 'schema' || row.kind === 'table') {
    const holder = h('span', { class: 'wb-Icon', 'aria-hidden': 'true' });
    ICONS[row.table?.kind === 'view' ? 'view' : row.kind].element({ container: holder, stylesheet: 'menuItem' });
    element.append(holder);
  }
  element.append(h('span', { class: 'wb-Row-name' }, row.text));
  if (row.column) {
    element.append(h('span', { class: 'wb-Row-type' }, row.column.source_type || row.column.type));
    if (row.column.key) {
      element.append(h('span', { class: 'wb-Tag' }, row.column.key === 'primary' ? 'key' : row.column.key));
    }
  }
  const comment = row.column?.comment || (row.column ? '' : row.table?.comment);
  if (comment) {
    element.append(h('span', { class: 'wb-Row-comment' }, comment));
  }
  element.append(buttons(row, actions));
  return element;
}

/** For the mouse; each has its key or its line in the context menu. */
function buttons(row: Row, actions: RowActions): HTMLElement {
  const hidden = { tabindex: -1 };
  const holder = h('span', { class: 'wb-Row-actions' });
  const add = (icon: LabIcon, label: string, action: (row: Row) => void): void => {
    holder.append(iconButton(icon, label, () => action(row), hidden));
  };
  if (row.kind === 'table') {
    add(tableRowsIcon, `First rows of ${row.text}`, actions.sample);
    add(codeIcon, `Insert a cell that reads ${row.text}`, actions.insertCell);
  }
  if (row.kind === 'table' || row.kind === 'column') {
    add(addIcon, `Insert the name ${row.text}`, actions.insertName);
  }
  if (EXPANDS.has(row.kind)) {
    add(refreshIcon, `Ask again what is in ${row.text}`, actions.refresh);
  }
  if (row.kind === 'note' && row.bad) {
    add(refreshIcon, 'Try again', actions.retry);
  }
  return holder;
}

function title(row: Row): string {
  if (row.column) {
    const { name, type, source_type, nullable, key, comment } = row.column;
    const native = source_type && source_type !== type ? ` (${source_type})` : '';
    const facts = [`${name}: ${type}${native}`, nullable ? '' : 'never NULL', key ? `key: ${key}` : '', comment];
    return facts.filter(Boolean).join('\n');
  }
  if (row.kind === 'table' && row.table) {
    const rows = row.table.rows === null ? '' : `about ${grouped(row.table.rows)} rows`;
    return [`${row.text} (${row.table.kind})`, rows, row.table.comment].filter(Boolean).join('\n');
  }
  return row.text;
}
