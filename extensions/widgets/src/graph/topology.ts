import type { State } from '../live/state';

/** The topic `runs/<run>/topology`, as `workbench.streams.telling` writes it. */
export interface Component {
  id: string;
  kind: 'spout' | 'bolt';
  tasks: number;
}

export interface Edge {
  source: string;
  stream: string;
  target: string;
  grouping: string;
}

export interface Counts {
  emitted: number;
  transferred: number;
  executed: number;
  acked: number;
  failed: number;
  pending: number;
  rate: number;
  ms: number | null;
  p50: number | null;
  p90: number | null;
  p99: number | null;
  /** Until its ack, ms, of a bolt. */
  process: number | null;
  /** Of a window bolt: rows that came too late, rows that it holds, and seconds that its watermark is behind. */
  late: number | null;
  held: number | null;
  behind: number | null;
  capacity: number | null;
  errors: number;
  dead: number;
}

export interface Promised {
  /** `effectively once`, `at least once`, `at most once`. */
  claim: string;
  why: string[];
  how?: string;
}

const NOTHING: Counts = {
  emitted: 0, transferred: 0, executed: 0, acked: 0, failed: 0, pending: 0, rate: 0, ms: null, p50: null, p90: null, p99: null, process: null,
  late: null, held: null, behind: null, capacity: null, errors: 0, dead: 0
};

/** What a state says, whatever is missing in it yet. */
export class Seen {
  constructor(private readonly said: State) {}

  get name(): string {
    return String(this.said.name ?? '');
  }

  get state(): string {
    return String(this.said.state ?? '');
  }

  get uptime(): number {
    return Number(this.said.uptime ?? 0);
  }

  get error(): string {
    return String(this.said.error ?? '');
  }

  get components(): Component[] {
    return (this.said.components ?? []) as Component[];
  }

  get edges(): Edge[] {
    return (this.said.edges ?? []) as Edge[];
  }

  counts(id: string): Counts {
    return (this.said[`component/${id}`] as Counts | undefined) ?? NOTHING;
  }

  rate({ source, stream, target }: Edge): number {
    return Number(this.said[`edge/${source}/${stream}/${target}`] ?? 0);
  }

  /** What is promised of an end of the graph; null where nothing is said. */
  promise(id: string): Promised | null {
    return (this.said.guarantees as Record<string, Promised> | undefined)?.[id] ?? null;
  }

  list<T>(name: string): T[] {
    return (this.said[name] ?? []) as T[];
  }

  /** Whether its spouts can be played again from the beginning. */
  get replayable(): boolean {
    return this.said.replayable === true;
  }

  get over(): boolean {
    return ['done', 'stopped', 'failed'].includes(this.state);
  }
}
