// The names by which the panel calls what api.ts has from the server's description.
import type * as api from './api';
import type { JSONSchema } from './panel/schema';

export type {
  Column, Connection, ConnectionBody, Native, Published, Run, ServerInfo, Stopped, TablePage, View
} from './api';

export type Answer<K extends keyof api.Interface> = api.Interface[K]['answer'];
export type Problem = api.Problem & { hint?: string };
export type Connector = Omit<api.Connector, 'parameters'> & { parameters: JSONSchema };
export type TableRow = api.Table;
export type Table = Answer<'GET /catalog/{connection}/table'>;
export type History = api.Past;
