import type { AnyModel } from '@anywidget/types';

import { hub } from './hub';
import { Frame, Mirror, State } from './state';

/** Where a run that was started again goes on. */
export interface Next {
  run: string;
  topic: string;
}

export interface Watching {
  /** Goes on with another topic. */
  follow(next: Next): void;
  dispose(): void;
}

interface Told {
  /** At most once a frame of the screen, and not while nobody can see it. */
  told(state: State): void;
  lost(why: string): void;
  /** The run was started again, and is another one now. */
  moved?(next: Next): void;
}

/**
 * A view's topic, from the page's hub; from its kernel where there is none, which cannot tell while a cell keeps it busy
 * with something that lets nobody else have a turn. It goes on where the topic says that it does.
 */
export function watch<T extends { topic: string; ticket: string }>(model: AnyModel<T>, node: () => HTMLElement, view: Told): Watching {
  let [state, frame, end]: [State | null, number, () => void] = [null, 0, () => undefined];
  let byKernel = false;
  let here = { topic: model.get('topic'), ticket: model.get('ticket') };
  let mirror = new Mirror();
  const draw = (): void => {
    frame = 0;
    if (state && node().isConnected) {
      view.told(state);
    }
  };
  const told = (now: State): void => {
    state = now;
    frame ||= requestAnimationFrame(draw); // a page that is not seen gets none
    const next = now.next as Next | undefined;
    if (next && next.topic !== here.topic) {
      follow(next);
    }
  };
  const lost = (why: string): void => {
    if (frame) { // what came before it is drawn before it
      cancelAnimationFrame(frame);
      draw();
    }
    view.lost(why);
  };
  const heard = (message: unknown): void => {
    const said = message as { frame?: Frame };
    if (said.frame && said.frame.topic !== here.topic) {
      return; // of before
    }
    if (said.frame && !mirror.apply(said.frame)) {
      model.send({ watch: true });
    } else if (said.frame?.error !== undefined) {
      lost(said.frame.error);
    } else if (said.frame && !said.frame.end) {
      told(mirror.state);
    }
  };
  const alone = (): void => {
    end();
    end = () => undefined;
    if (!byKernel) {
      byKernel = true;
      model.on('msg:custom', heard);
    }
    model.send({ watch: true });
  };
  const begin = (): void => {
    const page = byKernel ? null : hub();
    if (page) {
      end = page.watch(here.topic, here.ticket, { told, lost, alone });
    } else {
      alone();
    }
  };
  const follow = (next: Next): void => {
    here = { ...here, topic: next.topic }; // a page's ticket goes for what its topics go on as
    view.moved?.(next);
    if (byKernel) {
      mirror = new Mirror();
      model.send({ follow: next.topic });
      return;
    }
    const before = end;
    // Later, for it is told within the hub's own loop.
    queueMicrotask(() => {
      before();
      begin();
    });
  };
  begin();
  return {
    follow,
    dispose: () => {
      cancelAnimationFrame(frame);
      end();
      if (byKernel) {
        model.off('msg:custom', heard);
        model.send({ watch: false });
      }
    }
  };
}
