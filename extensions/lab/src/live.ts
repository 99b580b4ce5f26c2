import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

const FIRST_WAIT = 500;
const LONGEST_WAIT = 30_000;

type State = Record<string, unknown>;
type Frame = { topic?: string; snapshot?: State; change?: State; end?: boolean; error?: string };

/**
 * One topic of the server's hub over a WebSocket: its state, whole at first and then what changes of it. A connection
 * that is lost is made again, each time a little later; while the page is not seen there is none.
 */
export class Live {
  constructor(
    private readonly settings: ServerConnection.ISettings,
    private readonly topic: string,
    private readonly told: (state: State) => void,
    private readonly lost: () => void
  ) {
    document.addEventListener('visibilitychange', () => (document.hidden ? this.close() : this.open()));
  }

  /** Whether what was told is how it is. */
  connected = false;

  begin(): void {
    this.begun = true;
    if (!document.hidden) {
      this.open();
    }
  }

  private open(): void {
    if (!this.begun || this.socket) {
      return;
    }
    clearTimeout(this.timer);
    const { wsUrl, appendToken, token, WebSocket } = this.settings;
    const address = URLExt.join(wsUrl, 'workbench/api/live');
    const socket = new WebSocket(appendToken && token ? `${address}?token=${encodeURIComponent(token)}` : address);
    this.socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ subscribe: this.topic }));
    socket.onmessage = event => socket === this.socket && this.took(JSON.parse(event.data as string) as Frame);
    socket.onclose = () => {
      if (socket === this.socket) {
        this.gone();
        this.timer = window.setTimeout(() => !document.hidden && this.open(), this.wait);
        this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
      }
    };
  }

  private took(frame: Frame): void {
    if (frame.topic !== this.topic) {
      return;
    }
    if (frame.snapshot || (frame.change && this.connected)) {
      this.state = frame.snapshot ?? { ...this.state, ...frame.change };
      this.connected = true;
      this.wait = FIRST_WAIT;
      this.told(this.state);
    } else {
      this.socket?.close(); // its end, or a refusal: asked for again
    }
  }

  private close(): void {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.gone();
    socket?.close();
  }

  private gone(): void {
    this.socket = null;
    this.connected = false;
    this.lost();
  }

  private state: State = {};
  private socket: WebSocket | null = null;
  private begun = false;
  private timer = 0;
  private wait = FIRST_WAIT;
}
