export type State = Record<string, unknown>;

/** What the hub sends: see "Live topics" in the documentation of the server. */
export interface Frame {
  topic: string;
  number?: number;
  after?: number;
  snapshot?: State;
  change?: State;
  append?: Record<string, unknown[]>;
  keep?: Record<string, number>;
  end?: boolean;
  error?: string;
}

/** A topic as the frames so far say. */
export class Mirror {
  state: State = {};
  number = -1;

  /** Takes the frame in; false where it is not the next one, so that a snapshot has to be had. */
  apply(frame: Frame): boolean {
    const number = frame.number ?? this.number;
    if (frame.snapshot) {
      this.state = { ...frame.snapshot };
      this.keep = frame.keep ?? {};
    } else if ((frame.change || frame.append) && (frame.after ?? number - 1) !== this.number) {
      return false;
    }
    if (frame.keep) {
      this.keep = frame.keep;
    }
    Object.assign(this.state, frame.change);
    for (const [key, values] of Object.entries(frame.append ?? {})) {
      const before = Array.isArray(this.state[key]) ? (this.state[key] as unknown[]) : [];
      const all = [...before, ...values];
      this.state[key] = this.keep[key] === undefined ? all : all.slice(-this.keep[key]);
    }
    this.number = number;
    return true;
  }

  private keep: Record<string, number> = {};
}
