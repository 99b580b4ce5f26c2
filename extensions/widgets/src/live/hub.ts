import { Server, server, socketAddress } from './page';
import { Frame, Mirror, State } from './state';

const WAITS = [250, 500, 1000, 2000, 5000, 15_000];

export interface Viewer {
  /** The state has changed. */
  told(state: State): void;
  /** Nothing is known just now, or any more; an empty text: it is again. */
  lost(why: string): void;
  /** There is no hub here, so that frames have to come another way. */
  alone(): void;
}

interface Watched {
  mirror: Mirror;
  ticket: string;
  ended: boolean;
  viewers: Set<Viewer>;
}

/**
 * The page's one connection to the hub, whatever many views it has. One that is lost is made again; a frame that is
 * missing is made up for by a snapshot.
 */
export class Hub {
  constructor(private readonly there: Server) {}

  /** Watches a topic; what is returned ends that. `ticket` is asked for where viewers are strangers. */
  watch(topic: string, ticket: string, viewer: Viewer): () => void {
    let watched = this.topics.get(topic);
    if (watched) {
      watched.viewers.add(viewer);
      if (watched.mirror.number >= 0) {
        viewer.told(watched.mirror.state);
      }
    } else {
      watched = { mirror: new Mirror(), ticket, ended: false, viewers: new Set([viewer]) };
      this.topics.set(topic, watched);
      this.subscribe(topic, watched);
    }
    const mine = watched;
    return () => {
      mine.viewers.delete(viewer);
      if (mine.viewers.size === 0 && this.topics.get(topic) === mine) {
        this.topics.delete(topic);
        this.say({ unsubscribe: topic });
        if (this.topics.size === 0) {
          this.close();
        }
      }
    };
  }

  private subscribe(topic: string, { ticket }: Watched): void {
    if (!this.socket) {
      this.open();
    } else {
      this.say(ticket ? { subscribe: topic, ticket } : { subscribe: topic });
    }
  }

  private say(message: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify(message));
    }
  }

  private open(): void {
    clearTimeout(this.timer);
    const socket = new WebSocket(socketAddress(this.there));
    this.socket = socket;
    socket.onopen = () => {
      this.reached = true;
      this.tries = 0;
      for (const [topic, watched] of this.topics) {
        watched.mirror = new Mirror();
        watched.ended = false;
        this.subscribe(topic, watched);
      }
    };
    socket.onmessage = event => this.took(JSON.parse(event.data as string) as Frame);
    socket.onclose = () => socket === this.socket && this.gone();
  }

  private took(frame: Frame): void {
    const watched = this.topics.get(frame.topic);
    if (!watched) {
      return;
    }
    if (frame.error !== undefined) {
      watched.ended = true;
      watched.viewers.forEach(viewer => viewer.lost(frame.error!));
    } else if (!watched.mirror.apply(frame)) {
      this.say({ unsubscribe: frame.topic });
      this.subscribe(frame.topic, watched);
    } else if (!frame.end) {
      watched.viewers.forEach(viewer => viewer.told(watched.mirror.state));
    } else {
      watched.ended = true;
    }
  }

  private gone(): void {
    this.socket = null;
    if (!this.reached) {
      this.all(viewer => viewer.alone());
      return;
    }
    this.all(viewer => viewer.lost('The server is out of reach; it is asked again.'));
    this.timer = window.setTimeout(() => this.open(), WAITS[Math.min(this.tries++, WAITS.length - 1)]);
  }

  private all(what: (viewer: Viewer) => void): void {
    for (const { viewers, ended } of this.topics.values()) {
      if (!ended) {
        viewers.forEach(what);
      }
    }
  }

  private close(): void {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  private readonly topics = new Map<string, Watched>();
  private socket: WebSocket | null = null;
  private reached = false;
  private tries = 0;
  private timer = 0;
}

const SHARED = Symbol.for('analytics-workbench.hub');

/** The page's hub, for each view is a script of its own; null where there is no server of Jupyter's. */
export function hub(): Hub | null {
  const page = globalThis as unknown as Record<symbol, Hub | undefined>;
  const there = server();
  return there === null ? null : (page[SHARED] ??= new Hub(there));
}
