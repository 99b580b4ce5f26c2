import { MimeData } from '@lumino/coreutils';
import { Drag } from '@lumino/dragdrop';

import { h } from '../dom';
import { pathOf, quoted, selectCell } from '../names';
import type { Row } from './tree';

const CELLS = 'application/vnd.jupyter.cells';
const FAR_ENOUGH = 5;

/** What the row is called in SQL. */
export function written(row: Row): string {
  return row.column ? quoted(row.column.name) : pathOf({ ...row, name: row.table?.name ?? '' });
}

/** The cell that reads the row's table. */
export function cellFor(row: Row): string {
  return selectCell({ connection: row.connection, schema: row.schema, name: row.table!.name });
}

/** From pressing the button on: when the pointer moves on, the row is dragged. Editors take its name, notebooks a cell. */
export function startDrag(press: MouseEvent, row: Row): void {
  if (row.kind !== 'table' && row.kind !== 'column') {
    return;
  }
  const stop = new AbortController();
  const { signal } = stop;
  const options = { signal, capture: true };
  document.addEventListener('mouseup', () => stop.abort(), options);
  document.addEventListener(
    'mousemove',
    move => {
      if (Math.hypot(move.clientX - press.clientX, move.clientY - press.clientY) < FAR_ENOUGH) {
        return;
      }
      stop.abort();
      const mimeData = new MimeData();
      mimeData.setData('text/plain', written(row));
      if (row.kind === 'table') {
        const cell = { cell_type: 'code', source: cellFor(row), metadata: {}, outputs: [], execution_count: null };
        mimeData.setData(CELLS, [cell]);
      }
      const dragImage = h('div', { class: 'wb-DragImage' }, row.text);
      const drag = new Drag({ mimeData, dragImage, proposedAction: 'copy', supportedActions: 'copy', source: row });
      void drag.start(move.clientX, move.clientY).then(() => drag.dispose());
    },
    options
  );
}
