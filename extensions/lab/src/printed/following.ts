import type { IOutputModel } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';

import { addAtTheEnd } from './adding';
import { Printed } from './printed';

type Text = NonNullable<IOutputModel['streamText']>;
type Change = Parameters<Parameters<Text['changed']['connect']>[0]>[1];

/** Up to here Lab's own drawing does, which lays out all of a text for every message. In characters. */
const SHORT = 65_536;

export const settings = { on: true };

/**
 * Lab's renderer of what is printed, which from a length on draws what is new alone. Whatever goes wrong with it, Lab's
 * own way is taken from there on.
 */
export function drawingNews(renderer: IRenderMime.IRenderer, options: IRenderMime.IRendererOptions): IRenderMime.IRenderer {
  const lab = renderer.renderModel.bind(renderer);
  let following: Following | null = null;
  let failed = false;
  const back = (model: IRenderMime.IMimeModel, error: unknown): Promise<void> => {
    console.warn('Workbench: what is printed is drawn as Lab does it', error);
    failed = true;
    following?.dispose();
    following = null;
    return lab(model);
  };
  renderer.renderModel = async model => {
    const text = (model as Partial<IOutputModel>).streamText; // a traceback has none
    if (following !== null && following.text === text) {
      return; // it sees each change by itself
    }
    following?.dispose();
    following = null;
    if (failed || !settings.on || !text || text.text.length <= SHORT) {
      return lab(model);
    }
    try {
      following = new Following(renderer, text, options, error => void back(model, error));
      renderer.toggleClass('jp-mod-trusted', model.trusted);
    } catch (error) {
      return back(model, error);
    }
  };
  return renderer;
}

/** Draws what has come once a frame, however many messages it came in. */
class Following {
  constructor(
    private readonly renderer: IRenderMime.IRenderer,
    readonly text: Text,
    options: IRenderMime.IRendererOptions,
    private readonly failed: (error: unknown) => void
  ) {
    this.printed = new Printed(() => this.text.text, options.sanitizer.getAutolink?.() ?? true);
    renderer.node.replaceChildren(this.printed.node);
    text.changed.connect(this.take, this);
    renderer.disposed.connect(this.dispose, this);
  }

  dispose(): void {
    cancelAnimationFrame(this.frame);
    this.text.changed.disconnect(this.take, this);
    this.renderer.disposed.disconnect(this.dispose, this);
  }

  private take(_: unknown, change: Change): void {
    if (!this.placed) {
      this.placed = true;
      addAtTheEnd(this.renderer); // when more comes, the renderer is in its place
    }
    if (change.type === 'insert' && change.start === this.printed.length) {
      this.printed.append(change.value);
    } else if (change.type !== 'remove' || change.end < this.printed.length || !this.printed.cut(change.start)) {
      this.stale = true;
    }
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    this.frame = 0;
    try {
      if (this.stale || this.printed.length !== this.text.text.length) {
        this.stale = false;
        this.printed.restart();
      } else {
        this.printed.draw();
      }
    } catch (error) {
      this.failed(error);
    }
  }

  private readonly printed: Printed;
  private frame = 0;
  private stale = false;
  private placed = false;
}
