import type { JSONSchema } from './panel/schema';

export interface Problem { type: string; message: string; hint?: string }
export interface Connector {
  name: string; label: string; icon?: string; folders: boolean; suffixes: string[]; schemes: string[];
  parameters: JSONSchema; secrets: string[]; capabilities: Record<string, unknown>;
}
export interface Connection {
  name: string; connector: string; label: string; where: string; writable: boolean;
  parameters: Record<string, unknown>; secrets: Record<string, string>; problem?: string;
}
export interface ConnectionBody {
  name: string; connector: string; parameters: Record<string, unknown>; secrets?: Record<string, string>; writable?: boolean;
}
export interface ServerInfo { product: string; version: string; details: Record<string, string> }
export interface TableRow { schema: string | null; name: string; kind: string; rows: number | null; comment: string }
export interface TablePage { tables: TableRow[]; next: string | null }
export interface Column { name: string; type: string; source_type: string; nullable: boolean; key: string; comment: string }
export interface Table { columns: Column[] }
export interface Native { connection: string; native_id: string; since: number }
export interface Run {
  id: string; kind: string; title: string; state: string; started: number; seconds: number; rows: number; bytes: number;
  fraction: number | null; connections: string[]; natives: Native[];
}
export interface History {
  id: string; statement: string; connections: string[]; rows: number; seconds: number; status: string; error: string;
  started: number; native: string;
}
