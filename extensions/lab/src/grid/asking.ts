import { Conditions, ResultApi, View } from './api';

const FIRST_PAUSE = 60;
const LONGEST_PAUSE = 500;

/** One set of conditions, asked of the server until all rows that fit are found, or somebody has had enough. */
export class Asking {
  constructor(
    private readonly api: ResultApi,
    readonly conditions: Conditions,
    private readonly told: (view: View) => void
  ) {}

  /** Tells how it stands, until it is over; null when it was dropped. */
  async run(): Promise<View | null> {
    try {
      let view = await this.api.view(this.conditions, this.control.signal);
      for (let pause = FIRST_PAUSE; ; pause = Math.min(LONGEST_PAUSE, pause * 1.3)) {
        this.view = view;
        if (this.dropped) {
          this.stop();
          return null;
        }
        this.told(view);
        if (view.state !== 'working') {
          return view;
        }
        await new Promise(resolve => setTimeout(resolve, pause));
        view = this.dropped ? view : await this.api.standing(view.view);
      }
    } catch (error) {
      if (this.dropped) {
        return null;
      }
      throw error;
    }
  }

  /** The rows found so far are enough. */
  stop(): void {
    if (this.view?.state === 'working') {
      this.api.stop(this.view.view).catch(() => undefined); // how it stands is asked again anyway
    }
  }

  /** Nobody wants the rows any more. */
  drop(): void {
    this.dropped = true;
    this.control.abort();
  }

  get isDropped(): boolean {
    return this.dropped;
  }

  private readonly control = new AbortController();
  private dropped = false;
  private view: View | null = null;
}
