import type { State } from '../live/state';

/** The topic `runs/<run>/views/<hash>`, as `workbench.streams.showing` writes it. */
export interface Spec {
  kind: 'series' | 'top' | 'gauge' | 'table' | 'funnel';
  stream: string;
  title: string;
  unit?: string;
  x?: string;
  y?: string;
  by?: string;
  over?: number;
  how?: string;
  shape?: string;
  warn?: number | null;
  alarm?: number | null;
  step?: string;
  steps?: string[];
  keep?: number;
}

export interface About {
  rows: number;
  skipped: number;
  bad: number;
  why: string;
  forgot: boolean;
  first: number | null;
  last: number | null;
}

/** A point: a time in milliseconds, and a value for each line. */
export type Point = [number, ...(number | null)[]];

/** What a state says of view `number`. */
export class Said {
  constructor(private readonly state: State, readonly number: number) {}

  get spec(): Spec {
    return (this.state.views as Spec[])[this.number];
  }

  get run(): string {
    return String(this.state.state ?? '');
  }

  get over(): boolean {
    return ['done', 'stopped', 'failed'].includes(this.run);
  }

  get about(): About {
    return this.of('about') as About;
  }

  get late(): number {
    return Number(this.of('late') ?? 0);
  }

  get window(): string {
    return (this.of('static') as { window: string }).window;
  }

  /** Whether windows are told before they are whole. */
  get early(): boolean {
    return (this.of('static') as { early?: boolean }).early === true;
  }

  get stream(): string {
    return (this.of('static') as { stream: string }).stream.replace(/\.default$/, '');
  }

  of(what: string): unknown {
    return this.state[`${what}/${this.number}`];
  }
}

/** Points in order, each time once: of two of the same time the later one. */
export function inOrder(points: Point[], most: number): Point[] {
  const found = new Map<number, Point>();
  points.forEach(point => found.set(point[0], point));
  return [...found.values()].sort((one, other) => one[0] - other[0]).slice(-most);
}

/** With an empty point in each gap, so that no line is drawn over it. Says how many there are. */
export function withGaps(points: Point[]): { points: Point[]; gaps: number } {
  const steps = points.slice(1).map((point, place) => point[0] - points[place][0]).sort((one, other) => one - other);
  const usual = steps[steps.length >> 1] ?? 0;
  const made: Point[] = [];
  let gaps = 0;
  points.forEach((point, place) => {
    const before = points[place - 1];
    if (before && point[0] - before[0] > 1.5 * usual) {
      gaps++;
      made.push([before[0] + usual, ...point.slice(1).map(() => null)]);
    }
    made.push(point);
  });
  return { points: made, gaps };
}
