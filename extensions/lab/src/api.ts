// Written by setup/api_types.py from workbench/server/openapi.json; `make check` fails when it is behind.

/** What went wrong, and the way out, as a sentence; the place in the statement where there is one. */
export type Problem = {
  type: string;
  message: string;
  line?: number;
  column?: number;
};

/** What there is to connect to; `parameters` is a JSON schema, from which forms are made, and `secrets` names those of its properties that are never shown. */
export type Connector = {
  name: string;
  label: string;
  schemes: Array<string>;
  suffixes: Array<string>;
  folders: boolean;
  parameters: Record<string, unknown>;
  secrets: Array<string>;
  capabilities: Record<string, boolean>;
  /** A small SVG picture without script, style or link; empty where it declares none. */
  icon: string;
};

/** A saved connection; `secrets` says where each is kept, never what it is. */
export type Connection = {
  name: string;
  connector: string;
  label: string;
  where: string;
  writable: boolean;
  parameters: Record<string, unknown>;
  secrets: Record<string, string>;
  notes: Array<string>;
  problem: string;
};

export type ConnectionBody = {
  name: string;
  connector: string;
  parameters: Record<string, unknown>;
  /** By property; `env:NAME` is a reference. What is not given stays as it was. */
  secrets?: Record<string, string>;
  writable?: boolean;
  tables?: Record<string, Record<string, unknown>>;
  /** `false`: replaces a connection although the new one does not answer. */
  test?: boolean;
  /** For a test: the connection that is being edited, where its name was changed. Its secrets are tried, if these settings go to the same place as the same user. */
  before?: string;
};

export type ServerInfo = {
  product: string;
  version: string;
  details: Record<string, string>;
};

/** `rows` is the source's estimate. */
export type Table = {
  schema: string | null;
  name: string;
  kind: string;
  rows: number | null;
  comment: string;
};

/** `next` goes into `after` for the page behind it. */
export type TablePage = {
  tables: Array<Table>;
  next: string | null;
  /** Of all that was asked for; null where the source was not asked for all. */
  total: number | null;
};

export type Column = {
  name: string;
  type: string;
  source_type: string;
  nullable: boolean;
  key: string;
  comment: string;
};

export type Nothing = Record<string, never>;

export type Native = {
  connection: string;
  native_id: string;
  since: number;
};

export type Run = {
  id: string;
  kind: string;
  title: string;
  statement: string;
  state: string;
  started: number;
  seconds: number;
  rows: number;
  bytes: number;
  fraction: number | null;
  connections: Array<string>;
  natives: Array<Native>;
  error: string;
  pid: number;
};

/** A run that is over; `native` is the connection whose own text it was, or empty. */
export type Past = {
  id: string;
  kind: string;
  statement: string;
  connections: Array<string>;
  native: string;
  rows: number;
  seconds: number;
  status: string;
  error: string;
  started: number;
};

export type Stopped = {
  run: Run;
  by: "owner" | "us" | "over";
  failures: Array<string>;
};

export type ResultHead = {
  id: string;
  rows: number;
  state: "running" | "done" | "failed" | "stopped" | "capped";
  cap: string | null;
  error: string | null;
  /** About so many rows there are at the source, where it says so and they are more */
  estimate: number | null;
  /** Columns that a search does not look into */
  unsearched: Array<string>;
  columns: Array<{
    name: string;
    type: string;
  }>;
};

export type ViewBody = {
  sort?: Array<{
    column: string;
    descending?: boolean;
  }>;
  filters?: Array<{
    column: string;
    op: "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "between" | "in" | "contains" | "starts_with" | "ends_with" | "is_null" | "not_null";
    value?: string | number | boolean | Array<string | number | boolean>;
  }>;
  search?: string;
};

export type View = {
  view: string;
  state: "working" | "done" | "stopped" | "failed";
  /** Rows of the view that can be read now */
  rows: number;
  /** Rows of the result that were looked at */
  seen: number;
  /** Rows that the result had when it was asked */
  of: number;
  /** Rows that fit, once that is known */
  total: number | null;
};

export type PublishBody = {
  path: string;
  name?: string;
};

export type Published = {
  name: string;
  title: string;
  link: string;
};

/** A topic's state, what changes of it, or its end. */
export type Frame = {
  topic: string;
  number?: number;
  after?: number;
  snapshot?: Record<string, unknown>;
  change?: Record<string, unknown>;
  append?: Record<string, Array<unknown>>;
  keep?: Record<string, number>;
  end?: boolean;
  error?: string;
};

export type Frames = {
  frames: Array<Frame>;
  cursors: string;
};

export type Control = {
  what: "stop" | "pause" | "resume" | "replay";
  /** Of `replay`: 1 is as fast as it was, 60 an hour a minute; without it, as before */
  speed?: number;
};

/** By verb and address: what goes into the address's query, what is sent, what is answered. */
export interface Interface {
  /** What there is to connect to */
  "GET /connectors": {
    query: Record<string, never>;
    body: undefined;
    answer: {
      connectors: Array<Connector>;
    };
  };
  /** All saved connections */
  "GET /connections": {
    query: Record<string, never>;
    body: undefined;
    answer: {
      connections: Array<Connection>;
    };
  };
  /** Saves a new connection */
  "POST /connections": {
    query: Record<string, never>;
    body: ConnectionBody;
    answer: Connection;
  };
  /** Connects with settings that are not saved */
  "POST /connectors/test": {
    query: Record<string, never>;
    body: ConnectionBody;
    answer: ServerInfo;
  };
  /** A saved connection */
  "GET /connections/{name}": {
    query: Record<string, never>;
    body: undefined;
    answer: Connection;
  };
  /** Changes a connection, its name too */
  "PUT /connections/{name}": {
    query: Record<string, never>;
    body: ConnectionBody;
    answer: Connection;
  };
  /** Forgets a connection and its secrets */
  "DELETE /connections/{name}": {
    query: Record<string, never>;
    body: undefined;
    answer: undefined;
  };
  /** Connects, and asks the source who it is */
  "POST /connections/{name}/test": {
    query: Record<string, never>;
    body: undefined;
    answer: ServerInfo;
  };
  /** Schemas that hold tables */
  "GET /catalog/{connection}/schemas": {
    query: Record<string, never>;
    body: undefined;
    answer: {
      schemas: Array<string>;
    };
  };
  /** A page of tables in the order of their names */
  "GET /catalog/{connection}/tables": {
    query: { schema?: string; search?: string; after?: string; limit?: number };
    body: undefined;
    answer: TablePage;
  };
  /** The columns of a table */
  "GET /catalog/{connection}/table": {
    query: { name?: string; schema?: string };
    body: undefined;
    answer: {
      columns: Array<Column>;
    };
  };
  /** The first rows of a table */
  "GET /catalog/{connection}/sample": {
    query: { name?: string; schema?: string; rows?: number };
    body: undefined;
    answer: ArrayBuffer;
  };
  /** Forgets what was cached of the connection's tables */
  "POST /catalog/{connection}/refresh": {
    query: Record<string, never>;
    body: Nothing;
    answer: undefined;
  };
  /** What runs, in any process of the user */
  "GET /runs": {
    query: { active?: boolean; limit?: number };
    body: undefined;
    answer: {
      runs: Array<Run>;
    };
  };
  /** One run */
  "GET /runs/{run}": {
    query: Record<string, never>;
    body: undefined;
    answer: Run;
  };
  /** Stops it, at its source too */
  "DELETE /runs/{run}": {
    query: Record<string, never>;
    body: undefined;
    answer: Stopped;
  };
  /** What is over, the newest first */
  "GET /history": {
    query: { search?: string; limit?: number };
    body: undefined;
    answer: {
      history: Array<Past>;
    };
  };
  /** How a result stands */
  "GET /results/{result}": {
    query: Record<string, never>;
    body: undefined;
    answer: ResultHead;
  };
  /** Begins to find the rows that fit conditions, in an order */
  "POST /results/{result}/views": {
    query: Record<string, never>;
    body: ViewBody;
    answer: View;
  };
  /** How far a view is */
  "GET /results/{result}/views/{view}": {
    query: Record<string, never>;
    body: undefined;
    answer: View;
  };
  /** Ends the search for a view's rows */
  "DELETE /results/{result}/views/{view}": {
    query: Record<string, never>;
    body: undefined;
    answer: View;
  };
  /** Rows for the screen */
  "GET /results/{result}/page": {
    query: { view?: string; start?: number; count?: number; columns?: string };
    body: undefined;
    answer: ArrayBuffer;
  };
  /** One whole value of 16 MiB at most */
  "GET /results/{result}/cell": {
    query: { view?: string; row?: number; column?: number };
    body: undefined;
    answer: unknown | undefined;
  };
  /** All rows as a file */
  "GET /results/{result}/export": {
    query: { view?: string; format?: string; rows?: number; name?: string };
    body: undefined;
    answer: ArrayBuffer;
  };
  /** The names of what is published */
  "GET /dashboards": {
    query: Record<string, never>;
    body: undefined;
    answer: {
      names: Array<string>;
    };
  };
  /** Publishes a notebook of this server as a dashboard */
  "POST /dashboards": {
    query: Record<string, never>;
    body: PublishBody;
    answer: Published;
  };
  /** Publishes the dashboard of the demo shop, which is made where it is not yet */
  "POST /dashboards/demo": {
    query: Record<string, never>;
    body: Nothing;
    answer: Published;
  };
  /** A WebSocket of topics: see the documentation */
  "GET /live": {
    query: Record<string, never>;
    body: undefined;
    answer: undefined;
  };
  /** Topics as Server-Sent Events: see the documentation */
  "GET /live/events": {
    query: { topics: string };
    body: undefined;
    answer: ArrayBuffer;
  };
  /** Frames of topics that are there, or the first that come within a time */
  "GET /live/poll": {
    query: { topics: string; cursors?: string; wait?: number };
    body: undefined;
    answer: Frames;
  };
  /** Asks a run for something besides Stop, as a topology to pause; gives the run that goes on, which for `replay` is a new one */
  "POST /runs/{run}/control": {
    query: Record<string, never>;
    body: Control;
    answer: Run;
  };
  /** All topologies that run, in Prometheus' text format */
  "GET /metrics": {
    query: Record<string, never>;
    body: undefined;
    answer: ArrayBuffer;
  };
}
