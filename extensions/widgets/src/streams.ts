import type { RenderProps } from '@anywidget/types';

import style from './live/live.css';
import uplot from 'uplot/dist/uPlot.min.css';
import { h } from './live/dom';
import type { State } from './live/state';
import { watch, Watching } from './live/watching';
import { Cell } from './streams/cell';
import { Said, Spec } from './streams/said';

/** Traits of `workbench.widgets.streams.StreamViews`. */
interface Model {
  run: string;
  topic: string;
  ticket: string;
  rows: number[];
}

/** Views of a run's streams, which come as one topic. */
class StreamViews {
  readonly node: HTMLElement;

  constructor(private readonly model: RenderProps<Model>['model']) {
    this.node = h('section', { class: 'wb-Live wb-Streams', 'data-lm-suppress-shortcuts': 'true' },
      h('style', {}, uplot + style), h('header', {}, this.title, this.badge), this.notice, this.grid);
    this.watching = watch(model, () => this.node, { told: state => this.show(state), lost: why => this.lost(why) });
  }

  dispose(): void {
    this.watching.dispose();
    this.cells.forEach(cell => cell.dispose());
  }

  private show(state: State): void {
    const specs = state.views as Spec[] | undefined;
    if (specs === undefined) {
      return; // the hub is there, and its engine not yet
    }
    this.say(String(state.error ?? ''));
    this.node.classList.remove('wb-mod-gone');
    this.title.textContent = String(state.name ?? '');
    this.badge.textContent = this.badge.dataset.state = String(state.state ?? '');
    const key = JSON.stringify([state.run, specs]);
    const said = specs.map((_, number) => new Said(state, number));
    if (key !== this.key) {
      this.key = key;
      this.cells.forEach(cell => cell.dispose());
      this.cells = said.map(one => new Cell(one));
      this.grid.replaceChildren(...this.arranged());
    }
    this.cells.forEach((cell, number) => cell.draw(said[number]));
  }

  private arranged(): HTMLElement[] {
    const rows = this.model.get('rows') ?? [];
    const nodes = this.cells.map(cell => cell.node);
    return rows.length ? rows.map(count => h('div', { class: 'wb-DashRow' }, ...nodes.splice(0, count))) : [h('div', { class: 'wb-DashRow' }, ...nodes)];
  }

  private lost(why: string): void {
    this.say(why);
    this.node.classList.toggle('wb-mod-gone', why !== '');
    if (why && this.badge.textContent) {
      this.badge.textContent = 'not live';
      this.badge.dataset.state = 'gone';
    }
  }

  private say(text: string): void {
    this.notice.textContent = text;
    this.notice.hidden = text === '';
  }

  private readonly title = h('span', { class: 'wb-Figures' });
  private readonly badge = h('span', { class: 'wb-Badge' });
  private readonly notice = h('div', { class: 'wb-Refused', role: 'alert', hidden: true });
  private readonly grid = h('div', { class: 'wb-Dash' });
  private readonly watching: Watching;
  private cells: Cell[] = [];
  private key = '';
}

function render({ model, el }: RenderProps<Model>): () => void {
  const view = new StreamViews(model);
  el.append(view.node);
  return () => view.dispose();
}

export default { render };
