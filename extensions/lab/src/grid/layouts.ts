import { IStateDB } from '@jupyterlab/statedb';

import { ColumnInfo } from './api';

/** Widths and order of the columns of one column set, by their numbers in it. */
export interface Layout {
  widths: Record<number, number>;
  order: number[];
}

interface Kept extends Layout {
  columns: string;
}

const KEY = 'analytics-workbench:grid-layouts';
const MOST_KEPT = 100;

/** The layouts of the column sets that were looked at last, in the browser's state. */
export class Layouts {
  constructor(private readonly state: IStateDB | null) {}

  async get(columns: ColumnInfo[]): Promise<Layout | null> {
    return (await this.all()).find(one => one.columns === nameOf(columns)) ?? null;
  }

  async set(columns: ColumnInfo[], layout: Layout): Promise<void> {
    const others = (await this.all()).filter(one => one.columns !== nameOf(columns));
    const kept = [{ columns: nameOf(columns), ...layout }, ...others].slice(0, MOST_KEPT);
    await this.state?.save(KEY, kept as never);
  }

  private async all(): Promise<Kept[]> {
    const value = await this.state?.fetch(KEY);
    return Array.isArray(value) ? (value as unknown as Kept[]) : [];
  }
}

/** A short name of a column set, for some have thousands of columns. */
function nameOf(columns: ColumnInfo[]): string {
  let [a, b] = [0xdeadbeef, 0x41c6ce57];
  for (const letter of columns.map(({ name, type }) => `${name}\n${type}`).join('\n\n')) {
    a = Math.imul(a ^ letter.codePointAt(0)!, 2654435761);
    b = Math.imul(b ^ letter.codePointAt(0)!, 1597334677);
  }
  return `${columns.length}:${(a >>> 0).toString(36)}${(b >>> 0).toString(36)}`;
}
