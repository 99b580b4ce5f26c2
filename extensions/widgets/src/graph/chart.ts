import uPlot from 'uplot';

import { h } from '../live/dom';

export interface Line {
  label: string;
  /** A colour, or the variable of the page's theme that has it and what it is where there is none. */
  colour: string | [string, string];
}

export interface Look {
  height?: number;
  /** Stacked bars in place of lines. */
  bars?: boolean;
  /** The legend says the values under the pointer. */
  values?: boolean;
  /** Lines go on over what is not known. */
  span?: boolean;
  /** A line without axes and legend. */
  spark?: boolean;
}

/** Lines over time, which are drawn anew in milliseconds. */
export class Chart {
  readonly node: HTMLElement;

  constructor(title: string, private lines: Line[], private readonly said: (value: number) => string, private readonly look: Look = {}) {
    this.node = h('figure', { class: look.spark ? 'wb-Chart wb-mod-spark' : 'wb-Chart' }, title ? h('figcaption', {}, title) : null);
    this.sizes = new ResizeObserver(([{ contentRect }]) => {
      this.room = contentRect.width;
      this.plot?.setSize({ width: this.width, height: this.height });
    });
    this.sizes.observe(this.node);
    this.themes.observe(document.body, { attributes: true, attributeFilter: ['data-jp-theme-name', 'data-jp-theme-light'] });
  }

  /** Times in seconds since 1970, and the values of each line. */
  draw(times: number[], values: (number | null)[][], lines: Line[] = this.lines): void {
    this.raw = values;
    this.data = [times, ...(this.look.bars ? stacked(values) : values)] as unknown as uPlot.AlignedData;
    const others = lines.length !== this.lines.length || lines.some((line, place) => line.label !== this.lines[place].label);
    this.lines = lines;
    if (this.plot && others) {
      this.restyle();
    } else if (this.plot) {
      this.plot.setData(this.data);
    } else if (times.length > (this.look.bars ? 0 : 1) && this.node.clientWidth > 0) {
      this.plot = new uPlot(this.options(), this.data, this.node);
    }
  }

  /** Takes over the colours that the page has now, and the lines. */
  private restyle(): void {
    if (this.plot && this.data) {
      this.plot.destroy();
      this.plot = new uPlot(this.options(), this.data, this.node);
    }
  }

  dispose(): void {
    this.sizes.disconnect();
    this.themes.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }

  private get height(): number {
    return this.look.height ?? 130;
  }

  /** As it was seen last: while a theme is changed the page is narrow for a moment. */
  private get width(): number {
    return Math.max(80, this.room || this.node.clientWidth);
  }

  private options(): uPlot.Options {
    const style = getComputedStyle(this.node);
    const colour = (named: string | [string, string]): string =>
      typeof named === 'string' ? named : style.getPropertyValue(named[0]).trim() || named[1];
    const text = colour(['--jp-ui-font-color2', '#666']);
    const grid = { stroke: colour(['--jp-border-color2', '#ddd']), width: 1 };
    const axis = { stroke: text, grid, ticks: { ...grid, size: 4 }, font: '11px system-ui, sans-serif' };
    const { bars, spark } = this.look;
    const paths = bars ? uPlot.paths.bars!({ size: [0.85, 60], gap: 1 }) : undefined;
    const value = (_: uPlot, __: number, line: number, at: number | null): string => {
      const found = at === null ? null : this.raw[line - 1]?.[at];
      return found === null || found === undefined ? '' : this.said(found);
    };
    return {
      width: this.width,
      height: this.height,
      padding: spark ? [4, 2, 4, 2] : [10, 20, 0, 0],
      legend: { show: !spark && !(this.lines.length === 1 && !this.lines[0].label), live: this.look.values === true },
      cursor: { show: !spark, drag: { x: false, y: false } },
      scales: { y: { range: (_, least, most) => [Math.min(0, least ?? 0), (most ?? 0) > 0 ? most * 1.1 : 1] } },
      axes: spark
        ? [{ show: false }, { show: false }]
        : [
            { ...axis, size: 28, space: 70, values: (_, ticks, __, ___, step) => ticks.map(at => time(at, step)) },
            { ...axis, size: 58, values: (_, ticks) => ticks.map(this.said) }
          ],
      series: [
        { value: (_, at) => (at === null ? '' : WHEN.format(1000 * at)) },
        ...this.lines.map(({ label, colour: named }) => ({
          label, value, paths, spanGaps: this.look.span === true, stroke: colour(named), width: bars ? 0 : 1.5, points: { show: false }, ...(bars ? { fill: colour(named) } : {})
        }))
      ]
    };
  }

  private room = 0;
  private plot: uPlot | null = null;
  private data: uPlot.AlignedData | null = null;
  private raw: (number | null)[][] = [];
  private readonly themes = new MutationObserver(() => this.restyle());
  private readonly sizes: ResizeObserver;
}

/** Each line on top of those after it, so that the first one, which is drawn first, is the highest. */
function stacked(values: (number | null)[][]): (number | null)[][] {
  const made: (number | null)[][] = [];
  for (let line = values.length - 1; line >= 0; line--) {
    const below = made[0];
    made.unshift(values[line].map((value, at) => (below ? (below[at] ?? 0) + (value ?? 0) : value)));
  }
  return made;
}

const format = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat('en-GB', options);
const SECONDS = format({ hour: '2-digit', minute: '2-digit', second: '2-digit' });
const MINUTES = format({ hour: '2-digit', minute: '2-digit' });
const DAYS = format({ day: 'numeric', month: 'short' });
const WHEN = format({ day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit' });
const time = (seconds: number, step: number): string =>
  (step >= 86_400 ? DAYS : step >= 60 ? MINUTES : SECONDS).format(1000 * seconds);

/** A moment in milliseconds, as one would say it. */
export const moment = (at: number): string => WHEN.format(at);
