import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { problemOf, Refused } from '../client';
import type * as wire from '../wire';

/** What a cell's output holds of a result: enough to show its frame, never its rows. */
export interface Shown {
  id: string;
  rows: number;
  state: State;
  columns: ColumnInfo[];
}

export interface ColumnInfo {
  name: string;
  type: string;
}

/** `capped`: more rows exist at the source than were kept. */
export type State = 'running' | 'done' | 'failed' | 'stopped' | 'capped';

export interface Head extends Shown {
  /** Why there are no more rows: the cap or the error, in the server's words. */
  note: string;
  /** About so many rows there are at the source, which are more than these. */
  estimate: number | null;
  /** Columns that a search does not look into. */
  unsearched: string[];
}

export interface Sort {
  column: string;
  descending: boolean;
}

export interface Filter {
  column: string;
  op: string;
  value?: string | number | boolean | string[];
}

export interface Conditions {
  sort: Sort[];
  filters: Filter[];
  search: string;
}

/** Rows that fit conditions, of the first `of` that there were: `rows` can be read, `seen` were looked at, `total` fit. */
export type View = wire.View;

/** One whole value as the server has it. */
export interface CellValue {
  kind: 'null' | 'text' | 'binary';
  text: string;
  bytes: Uint8Array;
}

/** Whether the result is not there (any more). */
export function isGone(error: unknown): boolean {
  return error instanceof Refused && (error.status === 404 || error.status === 410);
}

/** Whether the server no longer knows a view: it has let go of it, or was started anew. It is then asked for again. */
export function isForgotten(error: unknown): boolean {
  return error instanceof Refused && error.problem.type === 'UnknownView';
}

/** The server's routes of one result. */
export class ResultApi {
  constructor(
    readonly id: string,
    private readonly settings = ServerConnection.makeSettings()
  ) {}

  async head(): Promise<Head> {
    const body = await (await this.fetch('')).json();
    return { ...body, id: this.id, note: body.cap ?? body.error ?? '' };
  }

  async view(conditions: Conditions, signal?: AbortSignal): Promise<View> {
    const answer = await this.fetch('/views', {}, { method: 'POST', body: JSON.stringify(conditions), signal });
    return answer.json();
  }

  /** How far a view is. */
  async standing(view: string): Promise<View> {
    return (await this.fetch(`/views/${view}`)).json();
  }

  /** Ends the search for a view's rows. */
  async stop(view: string): Promise<void> {
    await this.fetch(`/views/${view}`, {}, { method: 'DELETE' });
  }

  /** An Arrow stream of `count` rows from `start` and of the columns with these numbers. */
  async page(view: string, start: number, count: number, columns: number[], signal?: AbortSignal): Promise<Uint8Array> {
    const query = { view, start: String(start), count: String(count), columns: columns.join(',') };
    return new Uint8Array(await (await this.fetch('/page', query, { signal })).arrayBuffer());
  }

  /** One whole value. */
  async cell(view: string, row: number, column: number): Promise<CellValue> {
    const answer = await this.fetch('/cell', { view, row: String(row), column: String(column) });
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const binary = (answer.headers.get('content-type') ?? '').startsWith('application/octet-stream');
    const kind = answer.status === 204 ? 'null' : binary ? 'binary' : 'text';
    return { kind, bytes, text: kind === 'text' ? new TextDecoder().decode(bytes) : '' };
  }

  /** Of a download: the first `rows` of the view, or of the result. `name` is the file's, without its suffix. */
  exportUrl(view: string, format: 'csv' | 'parquet', rows: number, name: string): string {
    return this.url('/export', { view, format, name, rows: String(rows) });
  }

  private url(rest: string, query: Record<string, string>): string {
    const path = URLExt.join(this.settings.baseUrl, 'workbench/api/results', encodeURIComponent(this.id)) + rest;
    const given = Object.entries(query).filter(([, value]) => value !== '');
    return given.length ? path + URLExt.objectToQueryString(Object.fromEntries(given)) : path;
  }

  private async fetch(rest: string, query: Record<string, string> = {}, init: RequestInit = {}): Promise<Response> {
    const headers = init.body ? { 'Content-Type': 'application/json' } : undefined;
    // Not `no-store`, for which Lab adds a number to the address.
    const given: RequestInit = { cache: 'no-cache', headers, ...init };
    const answer = await ServerConnection.makeRequest(this.url(rest, query), given, this.settings);
    if (!answer.ok) {
      throw new Refused(answer.status, await problemOf(answer));
    }
    return answer;
  }
}
