import { BasicKeyHandler, BasicMouseHandler, DataGrid } from '@lumino/datagrid';
import { Platform } from '@lumino/domutils';

import { FILTER_WIDTH } from './theme';

/** What the mouse and the keys can ask of a grid besides moving about in it. Columns are those shown. */
export interface Actions {
  sort(column: number, add: boolean): void;
  filter(column: number, at: { x: number; y: number }): void;
  move(from: number, to: number): void;
  resized(column: number): void;
  fit(column: number): void;
  open(row: number, column: number): void;
  copy(): void;
  search(): void;
  /** A tooltip for a column's header, where there may be no room for its name. */
  hint(column: number): string;
  /** Shows where a dragged column would go; null takes the mark away. */
  mark(x: number | null): void;
}

const EDGE = 6; // pixels from a header's side that resize
const DRAGS = 6; // pixels before a press becomes a drag

export class MouseHandler extends BasicMouseHandler {
  constructor(private readonly actions: Actions) {
    super();
  }

  onMouseDown(grid: DataGrid, event: MouseEvent): void {
    const hit = grid.hitTest(event.clientX, event.clientY);
    if (hit.region === 'column-header' && !this.onEdge(hit) && !Platform.accelKey(event)) {
      this.press = { column: hit.column, x: event.clientX, dragged: false, filter: hit.width - hit.x <= FILTER_WIDTH };
      return;
    }
    super.onMouseDown(grid, event);
  }

  onMouseMove(grid: DataGrid, event: MouseEvent): void {
    if (this.press) {
      this.press.dragged ||= Math.abs(event.clientX - this.press.x) > DRAGS;
      if (this.press.dragged) {
        grid.viewport.node.style.cursor = 'grabbing';
        this.actions.mark(this.target(grid, event).x);
      }
      return;
    }
    super.onMouseMove(grid, event);
  }

  onMouseUp(grid: DataGrid, event: MouseEvent): void {
    const press = this.press;
    if (press) {
      this.release();
      if (press.dragged) {
        const { before } = this.target(grid, event);
        const to = before > press.column ? before - 1 : before;
        if (to !== press.column) {
          this.actions.move(press.column, to);
        }
      } else if (press.filter) {
        this.actions.filter(press.column, { x: event.clientX, y: event.clientY });
      } else {
        this.actions.sort(press.column, event.shiftKey);
      }
      return;
    }
    const resized = this.pressData?.type === 'column-resize' && this.pressData.region === 'body' ? this.pressData.index : -1;
    super.onMouseUp(grid, event);
    if (resized >= 0) {
      this.actions.resized(resized);
    }
  }

  onMouseHover(grid: DataGrid, event: MouseEvent): void {
    super.onMouseHover(grid, event);
    const hit = grid.hitTest(event.clientX, event.clientY);
    const header = hit.region === 'column-header';
    if (header && !this.onEdge(hit)) {
      grid.viewport.node.style.cursor = 'pointer';
    }
    grid.viewport.node.title = header ? this.actions.hint(hit.column) : '';
  }

  onMouseDoubleClick(grid: DataGrid, event: MouseEvent): void {
    const hit = grid.hitTest(event.clientX, event.clientY);
    if (hit.region === 'body') {
      this.actions.open(hit.row, hit.column);
    } else if (hit.region === 'column-header' && this.onEdge(hit)) {
      this.actions.fit(hit.x < EDGE ? hit.column - 1 : hit.column);
    }
    this.release();
  }

  release(): void {
    this.press = null;
    this.actions.mark(null);
    super.release();
  }

  private onEdge(hit: DataGrid.HitTestResult): boolean {
    return (hit.x < EDGE && hit.column > 0) || hit.width - hit.x < EDGE || hit.height - hit.y < 3;
  }

  /** Before which column a drag would put it, and where that is in the viewport. */
  private target(grid: DataGrid, event: MouseEvent): { before: number; x: number } {
    const { vx } = grid.mapToVirtual(event.clientX, event.clientY);
    const count = grid.columnCount('body');
    let before = grid.columnAt('body', Math.max(0, vx));
    if (before < 0) {
      before = count;
    } else if (vx - grid.columnOffset('body', before) > grid.columnSize('body', before) / 2) {
      before += 1;
    }
    const offset = before < count ? grid.columnOffset('body', before) : grid.bodyWidth;
    return { before, x: grid.headerWidth + offset - grid.scrollX };
  }

  private press: { column: number; x: number; dragged: boolean; filter: boolean } | null = null;
}

export class KeyHandler extends BasicKeyHandler {
  constructor(private readonly actions: Actions) {
    super();
  }

  onKeyDown(grid: DataGrid, event: KeyboardEvent): void {
    const selection = grid.selectionModel;
    if (!selection || event.key === 'Tab') {
      return; // Tab leaves the grid: nobody is caught in it
    }
    const [row, column] = [Math.max(0, selection.cursorRow), Math.max(0, selection.cursorColumn)];
    const accel = Platform.accelKey(event);
    if (this.command(grid, event, row, column, accel)) {
      event.preventDefault();
      event.stopPropagation();
    } else {
      super.onKeyDown(grid, event);
    }
  }

  protected onKeyC(_grid: DataGrid, event: KeyboardEvent): void {
    if (Platform.accelKey(event) && !event.shiftKey) {
      event.preventDefault();
      event.stopPropagation();
      this.actions.copy();
    }
  }

  private command(grid: DataGrid, event: KeyboardEvent, row: number, column: number, accel: boolean): boolean {
    const last = { row: grid.rowCount('body') - 1, column: grid.columnCount('body') - 1 };
    const corner = event.shiftKey ? (grid.selectionModel!.currentSelection()?.r2 ?? row) : row; // what is extended stays
    switch (event.key) {
      case 'Home':
        return this.go(grid, accel ? 0 : corner, 0, event.shiftKey);
      case 'End':
        return this.go(grid, accel ? last.row : corner, last.column, event.shiftKey);
      case 'Enter':
        this.actions.open(row, column);
        return true;
      case 'ArrowLeft':
      case 'ArrowRight':
        if (event.altKey) {
          const by = event.key === 'ArrowLeft' ? -1 : 1;
          if (event.shiftKey) {
            grid.resizeColumn('body', column, Math.max(40, grid.columnSize('body', column) + by * 20));
            this.actions.resized(column);
          } else if (column + by >= 0 && column + by <= last.column) {
            this.actions.move(column, column + by);
            this.go(grid, row, column + by, false);
          }
        }
        return event.altKey;
      case '/':
        this.actions.search();
        return true;
    }
    if (accel && event.key.toLowerCase() === 'a') {
      grid.selectionModel!.select({ r1: 0, c1: 0, r2: last.row, c2: last.column, cursorRow: row, cursorColumn: column, clear: 'all' });
      return true;
    }
    if (!accel && !event.altKey && event.key.toLowerCase() === 's') {
      this.actions.sort(column, event.shiftKey);
      return true;
    }
    if (!accel && !event.altKey && event.key === 'f') {
      const box = grid.viewport.node.getBoundingClientRect();
      const x = box.left + grid.headerWidth + grid.columnOffset('body', column) - grid.scrollX;
      this.actions.filter(column, { x: Math.min(Math.max(x, box.left), box.right - 40), y: box.top + grid.headerHeight });
      return true;
    }
    return false;
  }

  private go(grid: DataGrid, row: number, column: number, extend: boolean): boolean {
    const selection = grid.selectionModel!;
    const from = extend ? selection.currentSelection() : null;
    selection.select({
      r1: from?.r1 ?? row,
      c1: from?.c1 ?? column,
      r2: row,
      c2: column,
      cursorRow: extend ? selection.cursorRow : row,
      cursorColumn: extend ? selection.cursorColumn : column,
      clear: extend ? 'current' : 'all'
    });
    grid.scrollToCell(row, column);
    return true;
  }
}
