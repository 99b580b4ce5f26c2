import { Signal } from '@lumino/signaling';

import { reason } from '../client';
import { grouped } from '../dom';
import type { Column, TableRow } from '../wire';
import type { Connections } from './connections';

const PAGE = 200;
const NUL = '\0'; // between the parts of a key, for no name has it

/** One line of the tree. `note` is a word about what is missing below its parent; `more` stands for rows still to come. */
export interface Row {
  kind: 'connection' | 'schema' | 'table' | 'column' | 'note' | 'more';
  key: string;
  level: number;
  connection: string;
  schema: string | null;
  table?: TableRow;
  column?: Column;
  text: string;
  bad?: boolean;
  open?: boolean;
  /** Its place among its brothers, and their number as far as it is known. */
  at: number;
  of: number;
}

/** Something that is fetched a page at a time. `next`: undefined before the first page, null after the last. */
interface Pages<T> {
  items: T[];
  next?: string | null;
  /** Of all; null where that is not known. */
  total?: number | null;
  loading: boolean;
  problem: string;
}

/**
 * What the tree shows: connections → schemas where there are some → tables → columns. Each level is asked for when it
 * is opened and seen, tables a page at a time; a search asks every source, and its hits are listed by connection.
 */
export class Tree {
  constructor(private readonly connections: Connections) {
    connections.changed.connect(() => this.changed.emit());
    connections.replaced.connect((_, connection) => this.forget({ kind: 'connection', connection, schema: null }));
  }

  readonly changed = new Signal<this, void>(this);
  readonly open = new Set<string>();

  get search(): string {
    return this.searched;
  }

  set search(text: string) {
    if (text !== this.searched) {
      if (!this.searched) {
        this.folded.clear(); // what was folded up before must not hide what is found
      }
      this.searched = text;
      this.found.clear();
      this.abort?.abort(); // answers to what was typed before are not waited for
      this.abort = new AbortController();
      this.changed.emit();
    }
  }

  toggle(key: string, open = !this.isOpen(key)): void {
    const [set, member] = this.searched && key.startsWith(`c${NUL}`) ? [this.folded, !open] : [this.open, open];
    if (member) {
      set.add(key);
    } else {
      set.delete(key);
    }
    this.changed.emit();
  }

  /** Asks again for all that is below the row. */
  async refresh(row: Pick<Row, 'kind' | 'connection' | 'schema' | 'table'>): Promise<void> {
    try {
      await this.connections.client.refresh(row.connection);
    } catch {
      // Asked below again, where the same failure is shown at its place.
    }
    this.forget(row);
  }

  private forget(row: Pick<Row, 'kind' | 'connection' | 'schema' | 'table'>): void {
    for (const held of [this.schemas, this.tables, this.columns, this.found]) {
      for (const key of [...held.keys()]) {
        const [, connection, schema, table] = key.split(NUL);
        const below =
          row.kind === 'connection' ||
          (schema === (row.schema ?? '') && (row.kind === 'schema' || table === row.table?.name));
        if (connection === row.connection && below) {
          held.delete(key);
        }
      }
    }
    this.changed.emit();
  }

  /** After a failure: asks once more for what the note stands for. */
  retry(row: Row): void {
    const key = row.key.slice(2);
    for (const held of [this.schemas, this.tables, this.columns, this.found]) {
      if (held.get(key)?.problem) {
        held.delete(key);
      }
    }
    this.changed.emit();
  }

  async refreshAll(): Promise<void> {
    await this.connections.refresh();
    const known = this.connections.all.filter(one => this.isOpen(`c${NUL}${one.name}`));
    await Promise.allSettled(known.map(one => this.refresh({ kind: 'connection', connection: one.name, schema: null })));
  }

  foldAll(): void {
    this.open.clear();
    this.connections.all.forEach(one => this.folded.add(`c${NUL}${one.name}`));
    this.changed.emit();
  }

  /** The lines as they are now. What is open and not known yet is asked for on the way. */
  rows(): Row[] {
    const rows: Row[] = [];
    const all = this.connections.all;
    all.forEach(({ name, problem }, place) => {
      const key = `c${NUL}${name}`;
      const open = this.isOpen(key);
      rows.push({ kind: 'connection', key, level: 1, connection: name, schema: null, text: name, open, at: place + 1, of: all.length });
      if (!open) {
        return;
      }
      if (problem) {
        rows.push(note(key, name, 2, problem, true));
      } else if (this.searched) {
        this.listed(rows, key, name, null, this.pages(this.found, key, () => this.hits(name, key)), 2);
      } else {
        this.below(rows, key, name);
      }
    });
    return rows;
  }

  /** The next page below the row of kind `more`. */
  more(row: Row): void {
    const key = row.key.slice(2);
    const pages = key.startsWith(`c${NUL}`) && this.searched ? this.found.get(key) : this.tables.get(key);
    if (pages && !pages.loading && pages.next && !pages.problem) {
      void (this.searched && pages === this.found.get(key) ? this.hits(row.connection, key) : this.page(row.connection, row.schema, key));
    }
  }

  private below(rows: Row[], key: string, connection: string): void {
    const schemas = this.pages(this.schemas, key, () => this.level(connection, key));
    if (schemas.loading || schemas.problem) {
      rows.push(note(key, connection, 2, schemas.problem || 'Loading…', schemas.problem !== ''));
    } else if (schemas.items.length === 0) {
      const tables = this.pages(this.tables, key, () => this.page(connection, null, key));
      this.listed(rows, key, connection, null, tables, 2);
    } else {
      schemas.items.forEach((schema, place) => {
        const inner = `s${NUL}${connection}${NUL}${schema}`;
        const open = this.open.has(inner);
        rows.push({ kind: 'schema', key: inner, level: 2, connection, schema, text: schema, open, at: place + 1, of: schemas.items.length });
        if (open) {
          this.listed(rows, inner, connection, schema, this.pages(this.tables, inner, () => this.page(connection, schema, inner)), 3);
        }
      });
    }
  }

  private listed(rows: Row[], parent: string, connection: string, schema: string | null, tables: Pages<TableRow>, level: number): void {
    const whole = tables.total ?? tables.items.length + (tables.next ? 1 : 0);
    tables.items.forEach((table, place) => {
      const key = `t${NUL}${connection}${NUL}${table.schema ?? ''}${NUL}${table.name}`;
      const open = this.open.has(key);
      const text = this.searched && table.schema ? `${table.schema}.${table.name}` : table.name;
      rows.push({ kind: 'table', key, level, connection, schema: table.schema, table, text, open, at: place + 1, of: whole });
      if (open) {
        this.columnsOf(rows, key, connection, table, level + 1);
      }
    });
    if (tables.problem) {
      rows.push(note(parent, connection, level, tables.problem, true));
    } else if (tables.next) {
      rows.push({ kind: 'more', key: `m${NUL}${parent}`, level, connection, schema, text: `Loading…${soFar(tables)}`, at: tables.items.length + 1, of: whole });
    } else if (tables.items.length === 0) {
      rows.push(note(parent, connection, level, tables.loading ? 'Loading…' : this.searched ? 'Nothing found' : 'No tables'));
    }
  }

  private columnsOf(rows: Row[], key: string, connection: string, table: TableRow, level: number): void {
    const columns = this.pages(this.columns, key, () => this.described(connection, table, key));
    if (columns.loading || columns.problem) {
      rows.push(note(key, connection, level, columns.problem || 'Loading…', columns.problem !== ''));
    }
    columns.items.forEach((column, place) =>
      rows.push({
        kind: 'column', key: `f${NUL}${key}${NUL}${column.name}`, level, connection, schema: table.schema, table, column,
        text: column.name, at: place + 1, of: columns.items.length
      })
    );
  }

  private pages<T>(held: Map<string, Pages<T>>, key: string, ask: () => Promise<void>): Pages<T> {
    let pages = held.get(key);
    if (pages === undefined) {
      pages = { items: [], loading: true, problem: '' };
      held.set(key, pages);
      void ask();
    }
    return pages;
  }

  private level(connection: string, key: string): Promise<void> {
    return this.fetched(this.schemas, key, async () => ({ items: await this.connections.client.schemas(connection), next: null }));
  }

  private page(connection: string, schema: string | null, key: string): Promise<void> {
    const after = this.tables.get(key)?.next;
    return this.fetched(this.tables, key, async () => {
      const page = await this.connections.client.tables(connection, { schema, after, limit: PAGE });
      return { items: page.tables, next: page.next, total: page.total };
    });
  }

  private hits(connection: string, key: string): Promise<void> {
    const after = this.found.get(key)?.next;
    return this.fetched(this.found, key, async () => {
      const query = { search: this.searched, after, limit: PAGE };
      const page = await this.connections.client.tables(connection, query, this.abort?.signal);
      return { items: page.tables, next: page.next, total: page.total };
    });
  }

  private described(connection: string, table: TableRow, key: string): Promise<void> {
    return this.fetched(this.columns, key, async () => {
      const { columns } = await this.connections.client.table(connection, table.schema, table.name);
      return { items: columns, next: null };
    });
  }

  /** Appends what `ask` gives, unless it was refreshed or searched for something else meanwhile. */
  private async fetched<T>(
    held: Map<string, Pages<T>>, key: string, ask: () => Promise<{ items: T[]; next: string | null; total?: number | null }>
  ): Promise<void> {
    const pages = held.get(key)!;
    pages.loading = true;
    try {
      const { items, next, total } = await ask();
      pages.items.push(...items);
      pages.next = next;
      pages.total = total;
    } catch (error) {
      pages.problem = reason(error);
    }
    pages.loading = false;
    if (held.get(key) === pages) {
      this.changed.emit();
    }
  }

  private isOpen(key: string): boolean {
    return this.searched && key.startsWith(`c${NUL}`) ? !this.folded.has(key) : this.open.has(key);
  }

  private searched = '';
  private abort: AbortController | null = null;
  private readonly folded = new Set<string>(); // of the connections that a search has opened
  private readonly schemas = new Map<string, Pages<string>>();
  private readonly tables = new Map<string, Pages<TableRow>>();
  private readonly columns = new Map<string, Pages<Column>>();
  private readonly found = new Map<string, Pages<TableRow>>();
}

function soFar(pages: Pages<TableRow>): string {
  return pages.total ? ` ${grouped(pages.items.length)} of ${grouped(pages.total)}` : '';
}

function note(parent: string, connection: string, level: number, text: string, bad = false): Row {
  return { kind: 'note', key: `n${NUL}${parent}`, level, connection, schema: null, text, bad, at: 1, of: 1 };
}
