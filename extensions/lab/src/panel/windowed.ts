import { h } from '../dom';

const SPARE = 6;

/**
 * Rows of one height of which only those in sight are in the page, so that a hundred thousand cost what fifty do.
 * `draw` makes the row of a place; `seen` is told which places are in sight.
 */
export class Windowed {
  constructor(
    readonly node: HTMLElement,
    readonly height: number,
    private readonly draw: (place: number) => HTMLElement,
    private readonly seen: (first: number, last: number) => void
  ) {
    node.append(this.space);
    node.addEventListener('scroll', () => this.plan(), { passive: true });
    this.observer = new ResizeObserver(() => this.plan());
    this.observer.observe(node);
  }

  get count(): number {
    return this.total;
  }

  /** All rows may have changed. */
  reset(count: number): void {
    this.total = count;
    this.drawn.clear();
    this.space.style.height = `${count * this.height}px`;
    this.plan();
  }

  /** The row, if it is in the page. */
  row(place: number): HTMLElement | undefined {
    return this.drawn.get(place);
  }

  /** Brings the row into sight. */
  show(place: number): void {
    const [top, room] = [place * this.height, this.node.clientHeight];
    if (top < this.node.scrollTop) {
      this.node.scrollTop = top;
    } else if (room > 0 && top + this.height > this.node.scrollTop + room) {
      this.node.scrollTop = top + this.height - room;
    }
    this.render(); // at once: what reads the page aloud is told of the row next
  }

  /** Rows that fit. */
  get page(): number {
    return Math.max(1, Math.floor(this.node.clientHeight / this.height) - 1);
  }

  dispose(): void {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
  }

  private plan(): void {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.render());
  }

  private render(): void {
    const room = this.node.clientHeight;
    if (room === 0) {
      return; // folded away; the observer calls when it is seen
    }
    const first = Math.max(0, Math.floor(this.node.scrollTop / this.height) - SPARE);
    const last = Math.min(this.total, Math.ceil((this.node.scrollTop + room) / this.height) + SPARE);
    // A row that stays is left alone: between pressing and letting go of the mouse it must be the same one.
    for (const [place, row] of this.drawn) {
      if (place < first || place >= last) {
        this.drawn.delete(place);
        row.remove();
      }
    }
    if (this.drawn.size === 0) {
      this.space.textContent = '';
    }
    let before: Element | null = null;
    for (let place = first; place < last; place++) {
      let row = this.drawn.get(place);
      if (row === undefined) {
        row = this.draw(place);
        row.style.top = `${place * this.height}px`;
        this.drawn.set(place, row);
        this.space.insertBefore(row, before ? before.nextSibling : this.space.firstChild);
      }
      before = row;
    }
    this.seen(first, last);
  }

  private readonly space = h('div', { class: 'wb-Windowed-space', role: 'none' });
  private readonly observer: ResizeObserver;
  private readonly drawn = new Map<number, HTMLElement>();
  private frame = 0;
  private total = 0;
}
