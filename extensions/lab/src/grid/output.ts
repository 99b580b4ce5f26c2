import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Message, MessageLoop } from '@lumino/messaging';
import { Panel, Widget } from '@lumino/widgets';

import { isGone, ResultApi, Shown } from './api';
import type { Place } from './view';

export const MIME = 'application/vnd.workbench.result+json';

/** What an output says about its result, or null where it says something else. */
export function shownOf(data: unknown): Shown | null {
  const { id, rows, state, columns } = (data ?? {}) as Partial<Shown>;
  const whole = typeof id === 'string' && /^[a-z0-9]{1,64}$/.test(id) && Array.isArray(columns) && typeof state === 'string';
  return whole && columns.every(({ name, type }) => typeof name === 'string' && typeof type === 'string')
    ? { id, rows: Number(rows) || 0, state, columns }
    : null;
}

/** An output that is a result: its grid while the server has it, else the table that was saved with the notebook. */
export class ResultOutput extends Panel implements IRenderMime.IRenderer {
  constructor(
    private readonly placeOf: (shown: Shown) => Place,
    private readonly rendermime: IRenderMimeRegistry
  ) {
    super();
    this.addClass('wb-ResultOutput');
  }

  /**
   * Lab tells the outputs of a cell that they were attached, and where they were there before the cell was, not that they
   * will be. On the latter a grid begins to listen: it would take no click and no key.
   */
  processMessage(msg: Message): void {
    if (msg.type === 'before-attach') {
      this.announced = true;
    } else if (msg.type === 'after-attach' && !this.announced) {
      MessageLoop.sendMessage(this, Widget.Msg.BeforeAttach);
    } else if (msg.type === 'after-detach') {
      this.announced = false;
    }
    super.processMessage(msg);
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const shown = shownOf(model.data[MIME]);
    if (shown !== null && shown.id === this.shown) {
      return; // the same result, said again
    }
    this.widgets.forEach(widget => widget.dispose());
    this.shown = shown?.id ?? null;
    if (shown === null) {
      await this.renderSaved(model, 'This output says nothing that can be shown');
      return;
    }
    const api = new ResultApi(shown.id);
    try {
      // The decoder of the first page is fetched meanwhile.
      const [{ GridView }] = await Promise.all([import('./view'), api.head(), import('@uwdata/flechette')]);
      if (!this.isDisposed && this.shown === shown.id) {
        this.addWidget(new GridView(api, shown, this.placeOf(shown)));
      }
    } catch (error) {
      await this.renderSaved(model, isGone(error) ? 'The rows are no longer at hand' : 'The rows cannot be reached');
    }
  }

  /** The table of the first rows that everything else shows too. */
  private async renderSaved(model: IRenderMime.IMimeModel, why: string): Promise<void> {
    const type = model.data['text/html'] !== undefined ? 'text/html' : 'text/plain';
    const saved = this.rendermime.createRenderer(type);
    await saved.renderModel(model);
    if (!this.isDisposed) {
      const note = document.createElement('div');
      note.className = 'wb-ResultOutput-note';
      note.textContent = `${why}: this is what was saved. Run the cell again for all of them.`;
      this.node.append(note);
      this.addWidget(saved);
    }
  }

  private announced = false;
  private shown: string | null = null;
}
