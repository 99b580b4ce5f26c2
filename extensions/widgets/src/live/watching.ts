import type { AnyModel } from '@anywidget/types';

import { hub } from './hub';
import { Frame, Mirror, State } from './state';

export interface Watching {
  dispose(): void;
}

interface Told {
  /** At most once a frame of the screen, and not while nobody can see it. */
  told(state: State): void;
  lost(why: string): void;
}

/**
 * A view's topic, from the page's hub; from its kernel where there is none, which cannot tell while a cell keeps it busy
 * with something that lets nobody else have a turn.
 */
export function watch<T extends { topic: string; ticket: string }>(model: AnyModel<T>, node: () => HTMLElement, view: Told): Watching {
  let [state, frame, end]: [State | null, number, () => void] = [null, 0, () => undefined];
  let byKernel = false;
  const draw = (): void => {
    frame = 0;
    if (state && node().isConnected) {
      view.told(state);
    }
  };
  const told = (now: State): void => {
    state = now;
    frame ||= requestAnimationFrame(draw); // a page that is not seen gets none
  };
  const mirror = new Mirror();
  const heard = (message: unknown): void => {
    const said = message as { frame?: Frame };
    if (said.frame && !mirror.apply(said.frame)) {
      model.send({ watch: true });
    } else if (said.frame) {
      told(mirror.state);
    }
  };
  const alone = (): void => {
    end();
    byKernel = true;
    model.on('msg:custom', heard);
    model.send({ watch: true });
  };
  const page = hub();
  if (page) {
    end = page.watch(model.get('topic'), model.get('ticket'), { told, lost: why => view.lost(why), alone });
  } else {
    alone();
  }
  return {
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
