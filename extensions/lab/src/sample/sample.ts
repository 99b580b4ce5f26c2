import { MainAreaWidget } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { reason } from '../client';
import { h, replace } from '../dom';
import { pathOf } from '../names';
import { workbenchIcon } from '../icon';
import type { Workbench } from '../workbench';
import { cells, Sample } from './cells';

const ROWS = 100;

/** The first rows of a table in a tab of its own; a table that is open already comes to the front. */
export async function openSample(workbench: Workbench, connection: string, schema: string | null, name: string): Promise<void> {
  const path = pathOf({ connection, schema, name });
  const id = `workbench-sample-${path}`;
  const { shell } = workbench.app;
  for (const widget of shell.widgets('main')) {
    if (widget.id === id) {
      shell.activateById(id);
      return;
    }
  }
  const content = new Widget({ node: h('div', { class: 'wb-Sample' }) });
  replace(content.node, h('p', { class: 'wb-Empty', role: 'status' }, `Reading ${path}…`));
  const tab = new MainAreaWidget({ content });
  tab.toolbar.hide();
  content.node.tabIndex = 0; // after the tab, which would leave it to the mouse
  content.node.setAttribute('aria-label', `First rows of ${path}`);
  tab.id = id;
  tab.title.label = path;
  tab.title.caption = `First rows of ${path}`;
  tab.title.icon = workbenchIcon;
  tab.title.closable = true;
  shell.add(tab, 'main');
  shell.activateById(id);
  try {
    const sample = await cells(await workbench.client.sample(connection, schema, name, ROWS));
    replace(content.node, h('p', { class: 'wb-Sample-count', role: 'status' }, counted(sample, path)), table(sample, path));
  } catch (error) {
    replace(content.node, h('p', { class: 'wb-Problem', role: 'alert' }, reason(error)));
  }
}

function counted(sample: Sample, path: string): string {
  const rows = sample.rows.length;
  return rows < ROWS ? `${path}: all ${rows} rows` : `${path}: the first ${ROWS} rows that the source gave`;
}

function table(sample: Sample, path: string): HTMLElement {
  const head = sample.columns.map(column => h('th', { scope: 'col', title: column.type, 'data-number': column.number }, column.name));
  const body = sample.rows.map(row =>
    h('tr', {}, ...row.map((cell, place) =>
      cell === null
        ? h('td', { class: 'wb-Null', 'data-number': sample.columns[place].number }, 'NULL')
        : h('td', { title: cell.length > 60 ? cell : null, 'data-number': sample.columns[place].number }, cell)
    ))
  );
  return h('table', { class: 'wb-Table', 'aria-label': path }, h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...body));
}
