import { IStateDB } from '@jupyterlab/statedb';

import type { ResultGrid } from './canvas';
import { Layout, Layouts } from './layouts';
import type { ResultModel } from './model';

/** How wide the columns of a grid are and how they stand: as they were left, else as wide as their values need. */
export class Columns {
  constructor(
    private readonly model: ResultModel,
    private readonly grid: ResultGrid,
    state: IStateDB | null
  ) {
    this.layouts = new Layouts(state);
  }

  /** As results with these columns were left. */
  async restore(): Promise<void> {
    this.left = await this.layouts.get(this.model.columns);
    if (this.left && !this.grid.isDisposed) {
      const selection = this.grid.selectionModel!;
      const [row, source] = [selection.cursorRow, this.model.order[selection.cursorColumn]];
      this.model.order = this.left.order;
      this.model.tell(); // which clears the selection
      this.fit();
      if (row >= 0 && source !== undefined) {
        const column = this.model.order.indexOf(source);
        selection.select({ r1: row, c1: column, r2: row, c2: column, cursorRow: row, cursorColumn: column, clear: 'all' });
      }
    }
  }

  /** As wide as what is here of the rows needs, and never narrower than before; those that were set by hand stay. */
  fit(): void {
    this.model.order.forEach((source, shown) => {
      const needed = Math.max(this.sizes[source] ?? 0, this.grid.neededWidth(shown));
      this.sizes[source] = this.left?.widths[source] ?? needed;
    });
    this.apply();
  }

  apply(): void {
    this.model.order.forEach((source, shown) => {
      if (this.sizes[source]) {
        this.grid.resizeColumn('body', shown, this.sizes[source]);
      }
    });
  }

  /** Remembers how they are now. */
  keep(): void {
    const widths: Record<number, number> = {};
    this.model.order.forEach((source, shown) => (widths[source] = this.grid.columnSize('body', shown)));
    this.left = { widths, order: [...this.model.order] };
    Object.assign(this.sizes, widths);
    void this.layouts.set(this.model.columns, this.left);
  }

  private readonly layouts: Layouts;
  private left: Layout | null = null;
  private readonly sizes: number[] = [];
}
