import { BasicSelectionModel, DataGrid } from '@lumino/datagrid';
import { Message, MessageLoop } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { h } from '../dom';
import { familyOf } from './conditions';
import { drawn } from './format';
import { Actions, KeyHandler, MouseHandler } from './handlers';
import { HeaderCell, ResultModel } from './model';
import { FILTER_WIDTH, gridStyle, HEADER_HEIGHT, Palette, renderers, ROW_HEIGHT } from './theme';
import { TILE_ROWS, Window } from './tiles';

const NARROWEST = 56;
const WIDEST = 320;
const MEASURED = 20;
const LATCH = 250; // milliseconds in which a turn of the wheel that began outside goes on outside

let told = 0;

/** Lumino's grid with our model: themed, reachable and readable without a mouse, and no trap for the wheel. */
export class ResultGrid extends DataGrid {
  constructor(
    private readonly rows: ResultModel,
    actions: Actions
  ) {
    super({
      defaultSizes: { rowHeight: ROW_HEIGHT, columnWidth: 120, rowHeaderWidth: 56, columnHeaderHeight: HEADER_HEIGHT },
      minimumSizes: { rowHeight: ROW_HEIGHT, columnWidth: 40, rowHeaderWidth: 40, columnHeaderHeight: HEADER_HEIGHT }
    });
    this.addClass('wb-Canvas');
    this.dataModel = rows;
    this.selectionModel = new BasicSelectionModel({ dataModel: rows });
    this.mouseHandler = new MouseHandler(actions);
    this.keyHandler = new KeyHandler(actions);
    this.selectionModel.changed.connect(() => this.tell());
    rows.changed.connect((_, change) => {
      if (change.type !== 'cells-changed') {
        this.sizeRowHeader();
      }
      this.tell();
    });
    this.describe();
    this.restyle();
    this.sizeRowHeader();
  }

  /** What is on screen, in the result's own columns. */
  window(): Window | null {
    const shown = this.currentViewport;
    if (!shown || !this.isVisible) {
      return null;
    }
    const columns = this.rows.order.slice(shown.firstColumn, shown.lastColumn + 1);
    return { ...shown, firstColumn: Math.min(...columns), lastColumn: Math.max(...columns) };
  }

  /** Takes over the colours and fonts that the page has now. */
  restyle(): void {
    const palette = new Palette();
    this.style = gridStyle(palette);
    const numeric = this.rows.columns.map(({ type }) => familyOf(type) === 'number');
    this.cellRenderers = renderers(palette, column => numeric[this.rows.order[column]]);
  }

  /** The width that a column's name needs, and its values in the pages that are on screen. */
  neededWidth(column: number): number {
    const gc = this.canvasGC;
    const palette = new Palette();
    const { name, type } = this.rows.header(column);
    gc.font = palette.font('600');
    let width = gc.measureText(drawn(name)).width + FILTER_WIDTH + 24;
    gc.font = palette.small();
    width = Math.max(width, gc.measureText(drawn(type)).width + 18);
    gc.font = palette.font();
    for (const text of this.longest(column)) {
      width = Math.max(width, gc.measureText(text).width + 20);
    }
    return Math.ceil(Math.max(NARROWEST, Math.min(WIDEST, width)));
  }

  /** The texts of a column with the most characters, among which the widest one is. */
  private longest(column: number): string[] {
    const { firstRow, lastRow } = this.currentViewport ?? { firstRow: 0, lastRow: 0 };
    const first = Math.max(0, firstRow - (firstRow % TILE_ROWS));
    const texts: string[] = [];
    for (let row = first; row < Math.max(lastRow + 1, first + TILE_ROWS); row++) {
      const cell = this.rows.tiles.peek(row, this.rows.order[column]);
      if (cell) {
        texts.push(cell.kind === 'null' ? 'NULL' : drawn(cell.text));
      }
    }
    return texts.sort((one, other) => other.length - one.length).slice(0, MEASURED);
  }

  /** The height at which nothing has to be scrolled up or down. */
  get wholeHeight(): number {
    const bar = this.totalWidth > this.node.clientWidth ? 18 : 0;
    return HEADER_HEIGHT + Math.max(1, this.rows.rowCount('body')) * ROW_HEIGHT + bar + 3;
  }

  handleEvent(event: Event): void {
    if (event.type === 'wheel' && performance.now() - this.outside < LATCH) {
      this.outside = performance.now();
      return;
    }
    super.handleEvent(event);
  }

  /**
   * Lumino paints each cell on a canvas aside and copies it over. Without a graphics card each copy costs one of that
   * whole canvas, 100 to 250 ms a screen; so cells are painted at once, within the part that is painted anew. Should a
   * later Lumino name these two otherwise, it paints as it likes.
   */
  protected paintContent(rx: number, ry: number, rw: number, rh: number): void {
    const inner = this as unknown as { _bufferGC?: CanvasRenderingContext2D; _blitContent?: unknown };
    const { _bufferGC: aside, _blitContent: copy } = inner;
    if (aside === undefined || typeof copy !== 'function') {
      super.paintContent(rx, ry, rw, rh);
      return;
    }
    const gc = this.canvasGC;
    const ratio = Math.ceil(window.devicePixelRatio);
    gc.save();
    gc.setTransform(ratio, 0, 0, ratio, 0, 0);
    gc.beginPath();
    gc.rect(rx, ry, rw, rh);
    gc.clip();
    inner._bufferGC = gc;
    inner._blitContent = () => undefined;
    try {
      super.paintContent(rx, ry, rw, rh);
    } finally {
      inner._bufferGC = aside;
      delete inner._blitContent; // the class' own again
      gc.restore();
    }
  }

  protected onBeforeAttach(msg: Message): void {
    super.onBeforeAttach(msg);
    document.addEventListener('wheel', this.watchWheel, { capture: true, passive: true });
  }

  protected onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    this.sizes.observe(this.node);
  }

  protected onAfterDetach(msg: Message): void {
    document.removeEventListener('wheel', this.watchWheel, { capture: true });
    this.sizes.disconnect();
    super.onAfterDetach(msg);
  }

  private readonly watchWheel = (event: Event) => {
    if (!this.node.contains(event.target as Node)) {
      this.outside = performance.now();
    }
  };

  private readonly sizes = new ResizeObserver(() => {
    MessageLoop.sendMessage(this, Widget.ResizeMessage.UnknownSize);
    MessageLoop.sendMessage(this.viewport, Widget.ResizeMessage.UnknownSize);
  });

  /** A canvas says nothing to a screen reader: beside it stands the one cell at which the cursor is. */
  private describe(): void {
    const id = `wb-grid-cell-${++told}`;
    this.header = h('div', { role: 'columnheader' });
    this.spoken = h('div', { role: 'gridcell', id });
    const node = this.viewport.node;
    node.tabIndex = 0;
    node.setAttribute('role', 'grid');
    node.setAttribute('aria-label', 'Result');
    node.setAttribute('aria-readonly', 'true');
    node.setAttribute('aria-activedescendant', id);
    node.append(
      h('div', { class: 'wb-Spoken' }, h('div', { role: 'row', 'aria-rowindex': '1' }, this.header)),
      h('div', { class: 'wb-Spoken' }, h('div', { role: 'row' }, this.spoken))
    );
    node.addEventListener('focus', () => {
      if (this.selectionModel?.isEmpty && this.rows.rowCount('body') > 0 && !node.matches(':active')) {
        this.selectionModel.select({ r1: 0, c1: 0, r2: 0, c2: 0, cursorRow: 0, cursorColumn: 0, clear: 'all' });
      }
    });
    this.tell();
  }

  private tell(): void {
    const node = this.viewport.node;
    node.setAttribute('aria-rowcount', String(this.rows.rowCount('body') + 1));
    node.setAttribute('aria-colcount', String(this.rows.order.length));
    const { cursorRow, cursorColumn } = this.selectionModel!;
    if (cursorRow < 0 || cursorColumn >= this.rows.order.length) {
      return;
    }
    const { name, sort } = this.rows.data('column-header', 0, cursorColumn) as HeaderCell;
    const cell = this.rows.tiles.peek(cursorRow, this.rows.order[cursorColumn]);
    this.header.textContent = name;
    this.header.setAttribute('aria-sort', !sort ? 'none' : sort.startsWith('▲') ? 'ascending' : 'descending');
    this.spoken.textContent = cell === undefined ? 'loading' : cell.kind === 'null' ? 'NULL' : cell.text.slice(0, 300);
    this.spoken.setAttribute('aria-colindex', String(cursorColumn + 1));
    this.spoken.parentElement!.setAttribute('aria-rowindex', String(cursorRow + 2));
    this.header.setAttribute('aria-colindex', String(cursorColumn + 1));
  }

  /** As wide as the last row's number. */
  private sizeRowHeader(): void {
    const digits = Math.max(3, this.rows.rowCount('body').toLocaleString('en-US').length);
    this.resizeColumn('row-header', 0, 18 + digits * 7);
  }

  private header!: HTMLElement;
  private spoken!: HTMLElement;
  private outside = -LATCH;
}
