import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type {
  Answer, Connection, ConnectionBody, Connector, History, Problem, Published, Run, ServerInfo, Stopped, Table, TablePage
} from './wire';

/** What the server refused, and its way out. The text is shown as text, whatever is in it. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem
  ) {
    super(problem.message);
    this.name = problem.type || 'Error';
  }
}

/** The workbench's REST interface, over Lab's own requests: so with its token, its XSRF header and its base address. */
export class Client {
  constructor(readonly settings: ServerConnection.ISettings) {}

  connectors = async (): Promise<Connector[]> => (await this.json<{ connectors: Connector[] }>('connectors')).connectors;

  connections = async (): Promise<Connection[]> =>
    (await this.json<Answer<'GET /connections'>>('connections')).connections;

  save = (body: ConnectionBody, old?: string): Promise<Connection> =>
    old === undefined
      ? this.json('connections', { method: 'POST', body })
      : this.json(path('connections', old), { method: 'PUT', body });

  remove = (name: string): Promise<void> => this.json(path('connections', name), { method: 'DELETE' });

  test = (name: string): Promise<ServerInfo> =>
    this.json(path('connections', name, 'test'), { method: 'POST', body: {} });

  testUnsaved = (body: ConnectionBody): Promise<ServerInfo> =>
    this.json('connectors/test', { method: 'POST', body });

  schemas = async (connection: string): Promise<string[]> =>
    (await this.json<Answer<'GET /catalog/{connection}/schemas'>>(path('catalog', connection, 'schemas'))).schemas;

  tables = (
    connection: string,
    query: { schema?: string | null; search?: string; after?: string | null; limit?: number },
    signal?: AbortSignal
  ): Promise<TablePage> => this.json(path('catalog', connection, 'tables') + search(query), { signal });

  table = (connection: string, schema: string | null, name: string): Promise<Table> =>
    this.json(path('catalog', connection, 'table') + search({ schema, name }));

  sample = async (connection: string, schema: string | null, name: string, rows: number): Promise<Uint8Array> => {
    const answer = await this.ask(path('catalog', connection, 'sample') + search({ schema, name, rows }));
    return new Uint8Array(await answer.arrayBuffer());
  };

  refresh = (connection: string): Promise<void> =>
    this.json(path('catalog', connection, 'refresh'), { method: 'POST', body: {} });

  runs = async (): Promise<Run[]> => (await this.json<Answer<'GET /runs'>>('runs' + search({ active: 'true' }))).runs;

  /** What came of it; `failures` says what may still run, and why. */
  stop = (id: string): Promise<Stopped> => this.json(path('runs', id), { method: 'DELETE' });

  history = async (query: { limit: number; search?: string }): Promise<History[]> =>
    (await this.json<Answer<'GET /history'>>('history' + search(query))).history;

  dashboards = async (): Promise<string[]> => (await this.json<Answer<'GET /dashboards'>>('dashboards')).names;

  publish = (notebook: string): Promise<Published> =>
    this.json('dashboards', { method: 'POST', body: { path: notebook } });

  publishDemo = (): Promise<Published> => this.json('dashboards/demo', { method: 'POST', body: {} });

  private async json<T>(where: string, options: Options = {}): Promise<T> {
    const answer = await this.ask(where, options);
    return (answer.status === 204 ? undefined : await answer.json()) as T;
  }

  private async ask(where: string, { method = 'GET', body, signal }: Options = {}): Promise<Response> {
    const init: RequestInit = { method, signal };
    if (body !== undefined) {
      init.body = JSON.stringify(body);
      init.headers = { 'Content-Type': 'application/json' };
    }
    const address = URLExt.join(this.settings.baseUrl, 'workbench/api', where);
    const answer = await ServerConnection.makeRequest(address, init, this.settings);
    if (!answer.ok) {
      throw new Refused(answer.status, await problemOf(answer));
    }
    return answer;
  }
}

interface Options {
  method?: string;
  body?: unknown;
  signal?: AbortSignal;
}

/** What a person is told of anything that went wrong: what happened, then the way out. */
export function reason(error: unknown): string {
  if (error instanceof Refused) {
    const { message, hint } = error.problem;
    return hint && !message.includes(hint) ? `${message} ${hint}` : message;
  }
  if (error instanceof ServerConnection.NetworkError) {
    return 'Jupyter’s server does not answer.';
  }
  return error instanceof Error ? error.message : String(error);
}

export async function problemOf(answer: Response): Promise<Problem> {
  const nothing = { type: '', message: `The server answered ${answer.status} ${answer.statusText}.` };
  try {
    const said = (await answer.json()) as Partial<Problem>;
    return typeof said.message === 'string' && said.message ? { type: '', ...said, message: said.message } : nothing;
  } catch {
    return nothing; // a proxy's page: its text helps nobody
  }
}

function path(...parts: string[]): string {
  return parts.map(encodeURIComponent).join('/');
}

function search(values: Record<string, string | number | null | undefined>): string {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== '');
  return given.length ? '?' + new URLSearchParams(given.map(([name, value]) => [name, String(value)])) : '';
}
