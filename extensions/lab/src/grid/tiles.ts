import { Cell } from './format';
import { decoded, Page } from './page';

export const TILE_ROWS = 200;
export const TILE_COLUMNS = 40;
const MOST_BYTES = 32 * 1024 * 1024;
const MOST_AT_ONCE = 4;

/** Which rows and columns of the result are on screen, both ends included. */
export interface Window {
  firstRow: number;
  lastRow: number;
  firstColumn: number;
  lastColumn: number;
}

export type Fetch = (start: number, count: number, columns: number[], signal: AbortSignal) => Promise<Uint8Array>;

interface Tile {
  bytes: number;
  page: Page;
}

/** The numbers of the columns that a tile holds, and how many rows. */
interface Place {
  key: string;
  start: number;
  first: number;
}

/**
 * The part of a result that is near the screen: pages of rows and columns, the least recently used ones dropped.
 *
 * A cell that is asked for and not here is fetched; by the time it could be, only what is still on screen is.
 */
export class Tiles {
  /** Called when rows `start` … `start + count - 1` of columns `first` … have come. */
  arrived: (start: number, count: number, first: number, columns: number) => void = () => undefined;
  failed: (error: unknown) => void = () => undefined;
  /** What is on screen now; null while nothing is. */
  window: () => Window | null = () => null;

  constructor(
    private readonly fetch: Fetch,
    private readonly columns: number,
    public total: number
  ) {}

  /** The cell, or undefined while it is on its way. */
  cell(row: number, column: number): Cell | undefined {
    const place = this.place(row, column);
    const tile = this.held.get(place.key);
    const at = row - place.start;
    if (tile !== undefined && at < tile.page.rows) {
      this.held.delete(place.key);
      this.held.set(place.key, tile);
      return tile.page.cell(at, column - place.first);
    }
    this.want(place);
    return undefined;
  }

  /** The cell when it is here, without asking for it. */
  peek(row: number, column: number): Cell | undefined {
    const place = this.place(row, column);
    const tile = this.held.get(place.key);
    const at = row - place.start;
    return tile !== undefined && at < tile.page.rows ? tile.page.cell(at, column - place.first) : undefined;
  }

  /** Forgets everything, and stops what is on its way. */
  clear(): void {
    this.wanted.clear();
    this.held.clear();
    this.bytes = 0;
    this.running.forEach(control => control.abort());
    this.running.clear();
  }

  private place(row: number, column: number): Place {
    const start = row - (row % TILE_ROWS);
    const first = column - (column % TILE_COLUMNS);
    return { key: `${start}:${first}`, start, first };
  }

  private want(place: Place): void {
    if (this.running.has(place.key)) {
      return;
    }
    if (this.running.size < MOST_AT_ONCE) {
      void this.load(place); // at once: the server works while the rest is painted
    } else {
      this.wanted.set(place.key, place);
    }
    if (!this.due) {
      this.due = true;
      setTimeout(() => this.pump(), 0); // after the paint that asks, cell by cell
    }
  }

  private pump(): void {
    this.due = false;
    const window = this.window();
    for (const [key, control] of this.running) {
      const [start, first] = key.split(':').map(Number);
      if (window && !near(window, start, first)) {
        control.abort();
        this.running.delete(key);
      }
    }
    for (const [key, place] of this.wanted) {
      if (window && !near(window, place.start, place.first)) {
        this.wanted.delete(key);
      } else if (this.running.size < MOST_AT_ONCE) {
        this.wanted.delete(key);
        void this.load(place);
      }
    }
  }

  private async load(place: Place): Promise<void> {
    const control = new AbortController();
    this.running.set(place.key, control);
    const count = Math.min(this.columns - place.first, TILE_COLUMNS);
    const numbers = Array.from({ length: count }, (_, i) => place.first + i);
    try {
      const bytes = await this.fetch(place.start, TILE_ROWS, numbers, control.signal);
      const page = await decoded(bytes);
      if (control.signal.aborted) {
        return;
      }
      this.keep(place.key, { bytes: bytes.byteLength, page });
      this.running.delete(place.key);
      this.arrived(place.start, page.rows, place.first, count);
      this.ahead(place);
    } catch (error) {
      if (!control.signal.aborted) {
        this.running.delete(place.key);
        this.failed(error);
      }
    } finally {
      if (this.wanted.size) {
        this.pump();
      }
    }
  }

  private keep(key: string, tile: Tile): void {
    this.bytes += tile.bytes - (this.held.get(key)?.bytes ?? 0);
    this.held.delete(key);
    this.held.set(key, tile);
    for (const [oldest, old] of this.held) {
      if (this.bytes <= MOST_BYTES || oldest === key) {
        break;
      }
      this.held.delete(oldest);
      this.bytes -= old.bytes;
    }
  }

  /** Fetches the page that scrolling will reach next, in the direction it went. */
  private ahead(place: Place): void {
    const window = this.window();
    if (!window || window.firstRow > place.start + TILE_ROWS || window.lastRow < place.start) {
      return;
    }
    const back = this.last > place.start;
    this.last = place.start;
    const start = place.start + (back ? -TILE_ROWS : TILE_ROWS);
    const next = { key: `${start}:${place.first}`, start, first: place.first };
    if (start >= 0 && start < this.total && !this.held.has(next.key)) {
      this.want(next);
    }
  }

  private readonly held = new Map<string, Tile>(); // in the order of their last use
  private readonly wanted = new Map<string, Place>();
  private readonly running = new Map<string, AbortController>();
  private bytes = 0;
  private due = false;
  private last = 0;
}

/** Whether a page is on screen, or next to it. */
function near(window: Window, start: number, first: number): boolean {
  return (
    start <= window.lastRow + TILE_ROWS &&
    start + TILE_ROWS > window.firstRow - TILE_ROWS &&
    first <= window.lastColumn &&
    first + TILE_COLUMNS > window.firstColumn
  );
}
