import type { RenderProps } from '@anywidget/types';

import { Chart } from './graph/chart';
import { Drawing } from './graph/drawing';
import { Counts, Seen } from './graph/topology';
import style from './live/live.css';
import uplot from 'uplot/dist/uPlot.min.css';
import { h } from './live/dom';
import { clock, ms, rate, short, span, whole } from './live/format';
import { watch, Watching } from './live/watching';
import { ask, server } from './live/page';

/** Traits of `workbench.widgets.topology.TopologyView`. */
interface Model {
  run: string;
  topic: string;
  ticket: string;
  controls: boolean;
}

const COLUMNS: [string, string, (counts: Counts) => string][] = [
  ['rate', 'Tuples in a second: emitted by a spout, executed by a bolt', one => rate(one.rate)],
  ['emitted', 'Tuples emitted', one => whole(one.emitted)],
  ['executed', 'Tuples executed', one => whole(one.executed)],
  ['acked', 'Acked: of a spout, trees that are complete', one => whole(one.acked)],
  ['failed', 'Failed or timed out', one => whole(one.failed)],
  ['pending', 'Emitted, and neither acked nor failed yet', one => whole(one.pending)],
  ['errors', 'Exceptions', one => (one.errors ? whole(one.errors) : '')],
  ['dead', 'Rows given up', one => (one.dead ? whole(one.dead) : '')],
  ['transferred', 'Tuples emitted, times the tasks that took each', one => whole(one.transferred)],
  ['mean ms', 'Mean latency in ms: of a spout until its tree is complete, of a bolt within execute', one => ms(one.ms)],
  ['p50', 'So long takes the half of them', one => ms(one.p50)],
  ['p90', 'So long take 90 of 100', one => ms(one.p90)],
  ['p99', 'So long take 99 of 100', one => ms(one.p99)],
  ['process', 'Mean time in ms until a bolt has acked a tuple', one => ms(one.process)],
  ['capacity', 'Share of the time that its busiest task was inside of execute', one => (one.capacity === null ? '' : `${(100 * one.capacity).toFixed(0)} %`)],
  ['late', 'Rows that came after their windows were out', one => (one.late === null ? '' : whole(one.late))],
  ['held', 'Rows that wait in windows', one => (one.held === null ? '' : whole(one.held))],
  ['behind', 'So far is its watermark behind the clock', one => (one.behind === null ? '' : span(one.behind))]
];

const SPEEDS = [['', 'as before'], ['1', 'as it was'], ['60', '× 60: an hour a minute'], ['600', '× 600'], ['3600', '× 3,600: an hour a second'], ['86400', '× 86,400: a day a second']];

/** A topology while it runs: its graph, what each component does, how quick it is, and what it says. */
class TopologyView {
  readonly node: HTMLElement;

  constructor(private readonly model: RenderProps<Model>['model']) {
    this.pause = h('button', { class: 'jp-Button wb-Button', click: () => void this.control(this.seen?.state === 'paused' ? 'resume' : 'pause') }, 'Pause');
    this.stop = h('button', { class: 'jp-Button wb-Button wb-mod-stop', click: () => void this.control('stop') }, 'Stop');
    this.again = h('button', { class: 'jp-Button wb-Button', hidden: true, click: () => void this.control('replay') }, 'Replay');
    this.speed = h('select', { class: 'wb-Button', hidden: true, 'aria-label': 'How fast it is played again' },
      ...SPEEDS.map(([value, text]) => h('option', { value }, text)));
    this.pause.disabled = this.stop.disabled = true;
    this.body = h('tbody');
    const head = h('thead', {}, h('tr', {}, h('th', {}, 'component'), ...COLUMNS.map(([name, title]) => h('th', { title }, name))));
    this.log = h('pre', { class: 'wb-Log', tabindex: 0, 'aria-label': 'Log' });
    this.node = h('section', { class: 'wb-Live wb-Topology', 'data-lm-suppress-shortcuts': 'true' },
      h('style', {}, uplot + style),
      h('header', {}, this.title, this.badge, this.figures, h('span', { class: 'wb-Space' }),
        model.get('controls') && h('span', { class: 'wb-Controls' }, this.speed, this.again, this.pause, this.stop)),
      this.notice, this.drawing.node,
      h('div', { class: 'wb-Charts' }, this.throughput.node, this.latency.node),
      h('div', { class: 'wb-Scroll' }, h('table', { class: 'wb-Counts' }, head, this.body)),
      h('details', { class: 'wb-LogBox' }, h('summary', {}, 'Log'), this.log));
    this.watching = watch(model, () => this.node, {
      told: state => this.show(new Seen(state)),
      lost: why => this.lost(why),
      moved: ({ run }) => (this.run = run)
    });
    this.run = model.get('run');
  }

  dispose(): void {
    this.watching.dispose();
    this.throughput.dispose();
    this.latency.dispose();
  }

  private show(seen: Seen): void {
    this.seen = seen;
    this.say(seen.error);
    this.node.classList.remove('wb-mod-gone');
    this.title.textContent = seen.name;
    this.badge.textContent = seen.state;
    this.badge.dataset.state = seen.state;
    const spouts = seen.components.filter(({ kind }) => kind === 'spout').map(({ id }) => seen.counts(id));
    const sum = (name: 'rate' | 'emitted' | 'failed') => spouts.reduce((all, one) => all + one[name], 0);
    this.figures.textContent = `${rate(sum('rate'))} · ${short(sum('emitted'))} emitted · ${clock(seen.uptime)}`;
    this.pause.textContent = seen.state === 'paused' ? 'Resume' : 'Pause';
    this.pause.disabled = this.stop.disabled = seen.over || this.asking;
    this.again.hidden = this.speed.hidden = !seen.replayable;
    this.again.disabled = this.asking;
    this.drawing.draw(seen, id => this.point(id));
    const times = seen.list<number>('at');
    this.throughput.draw(times, [seen.list('emitted'), seen.list('acked')]);
    this.latency.draw(times, [seen.list('p50'), seen.list('p99')]);
    this.rows(seen);
    this.lines(seen);
  }

  private rows(seen: Seen): void {
    const shape = seen.components.map(({ id }) => id).join('\0');
    if (shape !== this.shape) {
      this.shape = shape;
      this.cells = seen.components.map(() => COLUMNS.map(() => h('td')));
      this.body.replaceChildren(
        ...seen.components.map(({ id, kind }, place) => h('tr', { 'data-component': id }, h('th', { title: kind, scope: 'row' }, id), ...this.cells[place])));
    }
    seen.components.forEach(({ id }, place) => {
      const counts = seen.counts(id);
      COLUMNS.forEach(([, , said], column) => {
        const [cell, text] = [this.cells[place][column], said(counts)];
        if (cell.textContent !== text) {
          cell.textContent = text;
        }
      });
    });
  }

  private lines(seen: Seen): void {
    const lines = seen.list<string>('log');
    const last = lines[lines.length - 1];
    if (lines.length !== this.logged.length || last !== this.logged[this.logged.length - 1]) {
      this.logged = lines;
      const below = this.log.scrollTop + this.log.clientHeight >= this.log.scrollHeight - 8;
      this.log.textContent = lines.join('\n');
      if (below) {
        this.log.scrollTop = this.log.scrollHeight;
      }
    }
  }

  private point(id: string): void {
    for (const row of this.body.rows) {
      row.classList.toggle('wb-mod-chosen', row.dataset.component === id && !row.classList.contains('wb-mod-chosen'));
    }
  }

  /** By the server, not by the kernel, which a cell may keep busy. */
  private async control(what: string): Promise<void> {
    this.asking = true;
    this.pause.disabled = this.stop.disabled = this.again.disabled = true;
    const speed = what === 'replay' && this.speed.value ? Number(this.speed.value) : undefined;
    try {
      const there = server();
      if (there === null) {
        this.model.send({ control: speed === undefined ? what : `${what} ${speed}` });
      } else {
        const { id } = (await ask(there, 'POST', `runs/${this.run}/control`, { what, speed })) as { id: string };
        if (id !== this.run) {
          this.watching.follow({ run: id, topic: `runs/${id}/topology` });
        }
      }
    } catch (error) {
      this.say(`It was not done: ${(error as Error).message}`);
    } finally {
      this.asking = false;
      this.pause.disabled = this.stop.disabled = this.seen?.over ?? true;
      this.again.disabled = false;
    }
  }

  /** What is shown is the last that is known. */
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

  private readonly title = h('strong', { class: 'wb-Name' });
  private readonly badge = h('span', { class: 'wb-Badge' });
  private readonly figures = h('span', { class: 'wb-Figures' });
  private readonly notice = h('div', { class: 'wb-Refused', role: 'alert', hidden: true });
  private readonly drawing = new Drawing();
  private readonly throughput = new Chart('Tuples in a second', [
    { label: 'emitted', colour: ['--jp-brand-color1', '#1976d2'] }, { label: 'acked', colour: ['--jp-success-color1', '#2e7d32'] }
  ], short);
  private readonly latency = new Chart('Complete latency, ms', [
    { label: 'median', colour: ['--jp-brand-color1', '#1976d2'] }, { label: '99 of 100', colour: ['--jp-warn-color1', '#ef6c00'] }
  ], ms, { span: true });
  private readonly pause: HTMLButtonElement;
  private readonly stop: HTMLButtonElement;
  private readonly again: HTMLButtonElement;
  private readonly speed: HTMLSelectElement;
  private readonly body: HTMLTableSectionElement;
  private readonly log: HTMLElement;
  private readonly watching: Watching;
  private run: string;
  private cells: HTMLTableCellElement[][] = [];
  private shape = '';
  private logged: string[] = [];
  private asking = false;
  private seen: Seen | null = null;
}

function render({ model, el }: RenderProps<Model>): () => void {
  const view = new TopologyView(model);
  el.append(view.node);
  return () => view.dispose();
}

export default { render };
