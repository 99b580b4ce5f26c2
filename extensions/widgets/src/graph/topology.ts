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
  executed: number;
  acked: number;
  failed: number;
  pending: number;
  rate: number;
  ms: number | null;
  p99: number | null;
  capacity: number | null;
  errors: number;
  dead: number;
}

const NOTHING: Counts = {
  emitted: 0, executed: 0, acked: 0, failed: 0, pending: 0, rate: 0, ms: null, p99: null, capacity: null, errors: 0, dead: 0
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

  list<T>(name: string): T[] {
    return (this.said[name] ?? []) as T[];
  }

  get over(): boolean {
    return ['done', 'stopped', 'failed'].includes(this.state);
  }
}
