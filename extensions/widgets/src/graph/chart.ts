import uPlot from 'uplot';

import { h } from '../live/dom';

export interface Line {
  label: string;
  /** A colour's variable of the page's theme, and what it is where there is none. */
  colour: [string, string];
}

/** Lines over time, which are drawn anew in milliseconds. */
export class Chart {
  readonly node: HTMLElement;

  constructor(title: string, private readonly lines: Line[], private readonly said: (value: number) => string, private readonly height = 130) {
    this.node = h('figure', { class: 'wb-Chart' }, h('figcaption', {}, title));
    this.sizes = new ResizeObserver(([{ contentRect }]) => this.plot?.setSize({ width: Math.max(120, contentRect.width), height }));
    this.sizes.observe(this.node);
    this.themes.observe(document.body, { attributes: true, attributeFilter: ['data-jp-theme-name', 'data-jp-theme-light'] });
  }

  /** Times in seconds since 1970, and the values of each line. */
  draw(times: number[], values: (number | null)[][]): void {
    this.data = [times, ...values] as unknown as uPlot.AlignedData;
    if (this.plot) {
      this.plot.setData(this.data);
    } else if (times.length > 1 && this.node.clientWidth > 0) {
      this.plot = new uPlot(this.options(), this.data, this.node);
    }
  }

  /** Takes over the colours that the page has now. */
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

  private options(): uPlot.Options {
    const style = getComputedStyle(this.node);
    const colour = ([name, otherwise]: [string, string]): string => style.getPropertyValue(name).trim() || otherwise;
    const text = colour(['--jp-ui-font-color2', '#666']);
    const grid = { stroke: colour(['--jp-border-color2', '#ddd']), width: 1 };
    const axis = { stroke: text, grid, ticks: { ...grid, size: 4 }, font: '11px system-ui, sans-serif' };
    return {
      width: Math.max(120, this.node.clientWidth),
      height: this.height,
      legend: { live: false },
      cursor: { drag: { x: false, y: false } },
      scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
      axes: [{ ...axis, size: 28, space: 70, values: (_, ticks) => ticks.map(time) }, { ...axis, size: 62, values: (_, ticks) => ticks.map(this.said) }],
      series: [
        {},
        ...this.lines.map(({ label, colour: named }) => ({
          label, stroke: colour(named), width: 1.5, points: { show: false }
        }))
      ]
    };
  }

  private plot: uPlot | null = null;
  private data: uPlot.AlignedData | null = null;
  private readonly themes = new MutationObserver(() => this.restyle());
  private readonly sizes: ResizeObserver;
}

const TIME = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const time = (seconds: number): string => TIME.format(seconds * 1000);
