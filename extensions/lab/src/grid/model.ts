import { DataModel } from '@lumino/datagrid';

import { ColumnInfo, Conditions } from './api';
import { Cell } from './format';
import { Tiles } from './tiles';

/** What the header of a column shows. */
export interface HeaderCell extends ColumnInfo {
  /** '' or an arrow, with its rank where rows are sorted by several columns. */
  sort: string;
  filtered: boolean;
}

/** The rows of one view of a result, as the grid asks for them. `order` maps what is shown to the result's columns. */
export class ResultModel extends DataModel {
  conditions: Conditions = { sort: [], filters: [], search: '' };

  constructor(
    readonly columns: ColumnInfo[],
    public tiles: Tiles,
    public order: number[]
  ) {
    super();
    this.listen();
  }

  rowCount(region: DataModel.RowRegion): number {
    return region === 'body' ? this.tiles.total : 1;
  }

  columnCount(region: DataModel.ColumnRegion): number {
    return region === 'body' ? this.order.length : 1;
  }

  data(region: DataModel.CellRegion, row: number, column: number): unknown {
    switch (region) {
      case 'body':
        return this.cell(row, column);
      case 'column-header':
        return this.header(column);
      case 'row-header':
        return row + 1;
      default:
        return '';
    }
  }

  cell(row: number, column: number): Cell | undefined {
    return this.tiles.cell(row, this.order[column]);
  }

  header(column: number): HeaderCell {
    const info = this.columns[this.order[column]];
    const { sort, filters } = this.conditions;
    const rank = sort.findIndex(one => one.column === info.name);
    const arrow = rank < 0 ? '' : sort[rank].descending ? '▼' : '▲';
    return {
      ...info,
      sort: arrow && sort.length > 1 ? `${arrow}${rank + 1}` : arrow,
      filtered: filters.some(one => one.column === info.name)
    };
  }

  /** Another view, or the same one anew: all cells and the number of rows may differ. */
  reset(tiles: Tiles, conditions: Conditions): void {
    this.tiles.clear();
    this.tiles = tiles;
    this.conditions = conditions;
    this.listen();
    this.tell();
  }

  /** Says that everything may look different. */
  tell(): void {
    this.emitChanged({ type: 'model-reset' });
  }

  /** More rows have come at the end. */
  grow(total: number): void {
    const before = this.tiles.total;
    if (total > before) {
      this.tiles.total = total;
      this.emitChanged({ type: 'rows-inserted', region: 'body', index: before, span: total - before });
    }
  }

  move(from: number, to: number): void {
    const [moved] = this.order.splice(from, 1);
    this.order.splice(to, 0, moved);
    this.emitChanged({ type: 'columns-moved', region: 'body', index: from, span: 1, destination: to });
  }

  private listen(): void {
    this.tiles.arrived = (row, rowSpan) =>
      this.emitChanged({
        type: 'cells-changed',
        region: 'body',
        row,
        rowSpan: Math.max(1, Math.min(rowSpan, this.tiles.total - row)),
        column: 0,
        columnSpan: this.order.length
      });
  }
}
