import { Poll } from '@lumino/polling';
import { Signal } from '@lumino/signaling';

import { Client, reason } from './client';
import { Live } from './live';
import type { Run } from './wire';

const LIVELY = 1000;
const CALM = 5000;

/**
 * What of this user runs now, and word of each change. The one place that knows how it is learnt: the server's hub tells
 * it. While that is out of reach it is asked for, each second while somebody looks and something runs, else every five.
 */
export class Runs {
  constructor(readonly client: Client) {
    this.poll = new Poll({
      name: 'analytics-workbench:runs',
      factory: () => this.ask(),
      frequency: { interval: CALM, backoff: true, max: 60_000 },
      standby: 'when-hidden',
      auto: false
    });
    this.live = new Live(
      client.settings,
      'runs',
      state => this.heard(state['runs'] as Run[], String(state['last'])),
      () => void this.poll.start()
    );
  }

  begin(): void {
    void this.poll.start();
    this.live.begin();
  }

  /** Something was learnt: new figures, a run that is new or gone. */
  readonly changed = new Signal<this, void>(this);
  /** A run is over, so the history has one more line. */
  readonly ended = new Signal<this, void>(this);
  active: Run[] = [];
  problem = '';

  /** Whether the list is being looked at. */
  set watched(watched: boolean) {
    if (watched !== this.isWatched) {
      this.isWatched = watched;
      this.hurry();
    }
  }

  /** Asks now, and goes on from there. */
  hurry(): void {
    if (!this.live.connected) {
      void this.poll.refresh();
    }
  }

  /** Asks now, and waits for the answer. */
  async now(): Promise<void> {
    this.take(await this.client.runs());
    this.changed.emit();
  }

  /** Fails where something may still run at a source, and says why; it can then be tried again. */
  async stop(id: string): Promise<void> {
    this.stopping.add(id);
    this.changed.emit();
    try {
      const { failures } = await this.client.stop(id);
      if (failures.length > 0) {
        throw new Error(`It may still run at its source: ${failures.join('; ')}`);
      }
    } finally {
      this.stopping.delete(id);
      this.changed.emit();
      this.hurry();
    }
  }

  /** Whether the answer to a Stop is waited for. */
  isStopping(run: Run): boolean {
    return this.stopping.has(run.id);
  }

  private heard(now: Run[], last: string): void {
    void this.poll.stop();
    const more = this.last !== '' && this.last !== last;
    this.last = last;
    this.take(now, more);
    this.changed.emit();
  }

  private take(now: Run[], more = false): void {
    const ids = new Set(now.map(run => run.id));
    const gone = this.active.some(run => !ids.has(run.id));
    this.active = now;
    this.problem = '';
    if (gone || more) {
      this.ended.emit();
    }
  }

  private async ask(): Promise<void> {
    try {
      this.take(await this.client.runs());
    } catch (error) {
      this.problem = reason(error);
      throw error; // the poll then asks less often
    } finally {
      this.changed.emit();
      const interval = this.isWatched && this.active.length > 0 ? LIVELY : CALM;
      if (this.poll.frequency.interval !== interval) {
        this.poll.frequency = { interval, backoff: true, max: 60_000 };
      }
    }
  }

  private readonly poll: Poll;
  private readonly live: Live;
  private last = ''; // the run that was over last
  private readonly stopping = new Set<string>();
  private isWatched = false;
}
