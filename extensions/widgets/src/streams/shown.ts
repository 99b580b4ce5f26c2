import { Chart, Line, moment } from '../graph/chart';
import { h } from '../live/dom';
import { short, value } from '../live/format';
import { Point, Said, inOrder, withGaps } from './said';

/** The inside of a view. */
export interface Shown {
  readonly node: HTMLElement;
  draw(said: Said): void;
  /** What is to be said of it besides what all views say. */
  notes(said: Said): string[];
  dispose(): void;
}

const COLOURS = ['#2f7ed8', '#e07b00', '#2a9d5c', '#b04fc4', '#d64550', '#1399a8', '#8d7a12', '#6f6fd0', '#c2527f', '#4f8a10', '#9a6324', '#5f7d95'];
const OTHERS = '#8a8a8a';

class Series implements Shown {
  readonly node: HTMLElement;

  constructor(said: Said) {
    const { shape, unit = '' } = said.spec;
    this.chart = new Chart('', [], number => `${short(number)}${unit && ` ${unit}`}`, { height: 210, bars: shape === 'bars', values: true });
    this.node = h('div', { class: 'wb-Series' }, this.chart.node);
  }

  draw(said: Said): void {
    const points = said.of('points') as Point[];
    if (points === this.last) {
      return;
    }
    this.last = points;
    const names = (said.of('lines') as string[]).slice();
    const inside = inOrder(points, said.spec.keep ?? points.length).filter(point => point.length === names.length + 1);
    const bars = said.spec.shape === 'bars';
    const { points: drawn, gaps } = bars || !said.spec.x ? { points: inside, gaps: 0 } : withGaps(inside);
    this.gaps = gaps;
    const lines: Line[] = names.map((label, place) => ({
      label: said.spec.by ? label || '(none)' : '', colour: label === 'others' && place === names.length - 1 ? OTHERS : COLOURS[place % COLOURS.length]
    }));
    this.chart.draw(drawn.map(([at]) => at / 1000), names.map((_, place) => drawn.map(point => point[place + 1] as number | null)), lines);
  }

  notes(said: Said): string[] {
    const still = !said.over && (!said.spec.x || !said.window || said.early);
    return [this.gaps ? `${this.gaps} gap${this.gaps > 1 ? 's' : ''}` : '', still ? 'the newest point: so far' : ''];
  }

  dispose(): void {
    this.chart.dispose();
  }

  private readonly chart: Chart;
  private gaps = 0;
  private last: Point[] | null = null;
}

class Gauge implements Shown {
  constructor(said: Said) {
    this.unit.textContent = said.spec.unit ?? '';
  }

  draw(said: Said): void {
    const points = said.of('points') as Point[];
    if (points === this.last) {
      return;
    }
    this.last = points;
    const inside = inOrder(points, said.spec.keep ?? points.length);
    const newest = inside[inside.length - 1];
    const now = newest?.[1] ?? null;
    const { warn = null, alarm = null } = said.spec;
    this.number.textContent = now === null ? '–' : value(now);
    this.number.dataset.value = now === null ? '' : String(now);
    this.node.dataset.level = now === null ? '' : alarm !== null && now >= alarm ? 'alarm' : warn !== null && now >= warn ? 'warn' : '';
    this.when.textContent = newest ? moment(newest[0]) : 'nothing yet';
    const drawn = said.spec.x ? withGaps(inside).points : inside;
    this.chart.draw(drawn.map(([at]) => at / 1000), [drawn.map(point => point[1] as number | null)]);
  }

  notes(): string[] {
    return [];
  }

  dispose(): void {
    this.chart.dispose();
  }

  private readonly number = h('span', { class: 'wb-Number' }, '–');
  private readonly unit = h('span', { class: 'wb-Unit' });
  private readonly when = h('span', { class: 'wb-When' });
  private readonly chart = new Chart('', [{ label: '', colour: ['--jp-brand-color1', '#1976d2'] }], short, { height: 48, spark: true });
  readonly node = h('div', { class: 'wb-Gauge' }, h('div', {}, this.number, ' ', this.unit), this.chart.node, this.when);
  private last: Point[] | null = null;
}

/** Rows of a name, a bar and a number. */
class Bars {
  readonly body = h('tbody');
  readonly node = h('table', { class: 'wb-Bars' }, this.body);

  draw(rows: { name: string; share: number; value: string; more: string }[]): void {
    while (this.cells.length < rows.length) {
      const cells = { name: h('th', { scope: 'row' }), bar: h('div', { class: 'wb-Share' }), value: h('td'), more: h('td', { class: 'wb-More' }) };
      const row = h('tr', {}, cells.name, h('td', { class: 'wb-BarCell' }, cells.bar), cells.value, cells.more);
      this.cells.push({ row, ...cells });
      this.body.append(row);
    }
    this.cells.splice(rows.length).forEach(({ row }) => row.remove());
    rows.forEach(({ name, share, value: number, more }, place) => {
      const cells = this.cells[place];
      cells.name.textContent = cells.name.title = name;
      cells.bar.style.width = `${Math.max(0, Math.min(100, 100 * share)).toFixed(1)}%`;
      cells.value.textContent = number;
      cells.more.textContent = more;
    });
  }

  private readonly cells: { row: HTMLTableRowElement; name: HTMLElement; bar: HTMLElement; value: HTMLElement; more: HTMLElement }[] = [];
}

const percent = (part: number, whole: number): string => (whole > 0 ? `${((100 * part) / whole).toFixed(part / whole < 0.1 ? 1 : 0)} %` : '');

class Top implements Shown {
  private readonly bars = new Bars();
  private readonly empty = h('p', { class: 'wb-Nothing' }, 'Nothing yet.');
  readonly node = h('div', { class: 'wb-Top' }, this.bars.node, this.empty);

  draw(said: Said): void {
    const { rows = [], all = 0 } = (said.of('value') ?? {}) as { rows?: [string, number][]; all?: number };
    const most = Math.max(...rows.map(([, number]) => number), 0);
    this.empty.hidden = rows.length > 0;
    const unit = said.spec.unit ? ` ${said.spec.unit}` : '';
    this.bars.draw(rows.map(([name, number]) => ({
      name: name || '(none)', share: most > 0 ? number / most : 0, value: value(number) + unit, more: percent(number, all)
    })));
  }

  notes(said: Said): string[] {
    return [said.about.forgot ? 'more values than are told apart: those with little are left out' : ''];
  }

  dispose(): void {}
}

class Funnel implements Shown {
  private readonly bars = new Bars();
  readonly node = h('div', { class: 'wb-Funnel' }, this.bars.node);

  draw(said: Said): void {
    const { counts = [], others = 0 } = (said.of('value') ?? {}) as { counts?: number[]; others?: number };
    this.others = others;
    const first = Math.max(counts[0] ?? 0, 1e-9);
    this.bars.draw((said.spec.steps ?? []).map((name, place) => {
      const [count, before] = [counts[place] ?? 0, counts[place - 1]];
      const went = before === undefined ? '' : percent(count, before);
      return { name, share: count / first, value: value(count), more: went };
    }));
  }

  notes(): string[] {
    return ['shares are of the step before', this.others ? `${value(this.others)} at no step of these` : ''];
  }

  dispose(): void {}

  private others = 0;
}

class Table implements Shown {
  private readonly head = h('tr');
  private readonly body = h('tbody');
  private readonly empty = h('p', { class: 'wb-Nothing' }, 'Nothing yet.');
  readonly node = h('div', { class: 'wb-Scroll wb-Rows' }, h('table', { class: 'wb-Counts' }, h('thead', {}, this.head), this.body), this.empty);

  draw(said: Said): void {
    const rows = said.of('rows') as [number, string | null, ...unknown[]][];
    if (rows === this.last) {
      return;
    }
    this.last = rows;
    const columns = said.of('columns') as string[];
    const times = columns.map(name => name === said.spec.x);
    if (!this.head.childElementCount) {
      this.head.append(...columns.map(name => h('th', {}, name)));
    }
    this.empty.hidden = rows.length > 0;
    this.body.replaceChildren(...rows.slice().reverse().map(([came, level, ...cells]) =>
      h('tr', { 'data-level': level, title: `came ${moment(came)}` },
        ...cells.map((cell, place) => h('td', { class: times[place] ? 'wb-mod-time' : typeof cell === 'number' ? 'wb-mod-number' : null }, text(cell, times[place]))))));
  }

  notes(said: Said): string[] {
    const { rows } = said.about;
    const shown = this.last?.length ?? 0;
    return [rows > shown ? `the newest ${shown} of ${value(rows)}` : ''];
  }

  dispose(): void {}

  private last: unknown[] | null = null;
}

function text(cell: unknown, time: boolean): string {
  return cell === null ? '' : typeof cell === 'number' ? (time ? moment(cell) : value(cell)) : String(cell);
}

export function shown(said: Said): Shown {
  const { kind } = said.spec;
  const Made = { series: Series, gauge: Gauge, top: Top, funnel: Funnel, table: Table }[kind];
  return new Made(said);
}
