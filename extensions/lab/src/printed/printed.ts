import { grouped, h } from '../dom';
import { Look, PLAIN, runsOf } from './ansi';
import { linesIn, pieces } from './blocks';
import { nodesOf } from './links';

/** Of a longer text so much is in the page, in characters: its begin, and its end, which moves. */
const BEGIN = 250_000;
const END = 2_000_000;

interface Block {
  start: number; // characters of the text before it
  text: string;
  look: Look;
  node: HTMLElement | null;
}

interface Gap {
  start: number;
  end: number;
  look: Look;
  lines: number;
  node: HTMLElement;
}

/**
 * A text that grows at its end, as blocks of lines: only the last of them is drawn again, and the browser lays out those
 * in sight alone. `whole` is asked for what is not in the page.
 */
export class Printed {
  constructor(
    private readonly whole: () => string,
    private readonly links: boolean
  ) {
    this.node.addEventListener('copy', event => this.copy(event));
    this.restart();
  }

  readonly node = h('pre', { class: 'wb-Printed' });

  /** How many characters it has, drawn or not yet. */
  get length(): number {
    return this.drawn + this.waiting.length;
  }

  append(text: string): void {
    this.waiting += text;
  }

  /** Forgets what is behind so many characters; false where that is no longer at hand, and all is to be drawn again. */
  cut(length: number): boolean {
    if (length >= this.drawn) {
      this.waiting = this.waiting.slice(0, length - this.drawn);
      return true;
    }
    if (this.gap && length < this.gap.end) {
      return false;
    }
    const behind = this.blocks.findIndex(block => block.start > length);
    this.blocks.splice(behind === -1 ? Infinity : behind).forEach(block => block.node?.remove());
    const last = this.blocks[this.blocks.length - 1];
    last.text = last.text.slice(0, length - last.start);
    this.drawn = length;
    this.waiting = '';
    this.changed = true;
    return true;
  }

  /** All of it anew. */
  restart(): void {
    this.blocks = [{ start: 0, text: '', look: PLAIN, node: null }];
    this.gap = null;
    this.drawn = 0;
    this.waiting = this.whole();
    this.node.textContent = '';
    this.draw();
  }

  /** What has come since the last time. */
  draw(): void {
    if (!this.waiting && !this.changed) {
      return;
    }
    const open = this.blocks.pop()!;
    // Not emptied but replaced: a search of Lab's holds on to the nodes in it.
    open.node?.remove();
    this.blocks.push(...this.blocksOf(open.text + this.waiting, open.start, open.look));
    this.drawn += this.waiting.length;
    this.waiting = '';
    this.changed = false;
    if (!this.all) {
      this.shorten();
    }
    const fresh = this.blocks.filter(block => block.node === null);
    this.node.append(...fresh.map(block => this.nodeOf(block)));
  }

  private blocksOf(text: string, start: number, look: Look): Block[] {
    return pieces(text).map(piece => {
      const block = { start, text: piece, look, node: null };
      start += piece.length;
      look = runsOf(piece, look).look;
      return block;
    });
  }

  private nodeOf(block: Block): HTMLElement {
    block.node = h('span', { class: 'wb-Printed-block', style: `--wb-lines: ${linesIn(block.text)}` });
    block.node.append(nodesOf(runsOf(block.text, block.look).runs, this.links));
    return block.node;
  }

  /** Takes what is neither begin nor end out of the page. */
  private shorten(): void {
    const first = this.blocks.findIndex(block => block.start >= Math.max(BEGIN, this.gap?.end ?? 0));
    const last = this.blocks.findIndex(block => block.start >= this.drawn - END);
    if (first === -1 || last <= first) {
      return;
    }
    const out = this.blocks.splice(first, last - first);
    this.gap ??= this.gapAt(first, out[0]);
    this.gap.end = this.blocks[first].start;
    this.gap.lines += out.reduce((lines, block) => lines + linesIn(block.text), 0);
    out.forEach(block => block.node?.remove());
    this.gap.node.firstElementChild!.textContent = `${grouped(this.gap.lines)} lines are not shown; the notebook has them. `;
  }

  private gapAt(place: number, first: Block): Gap {
    const show = h('button', { type: 'button', class: 'wb-Printed-button', click: () => this.showAll() }, 'Show all');
    const node = h('span', { class: 'wb-Printed-gap' }, h('span'), show);
    const before = this.blocks[place - 1].node;
    if (before) {
      before.after(node);
    } else {
      const fresh = this.blocks.slice(0, place).filter(block => block.node === null);
      this.node.append(...fresh.map(block => this.nodeOf(block)), node); // what comes behind it is not in the page yet
    }
    return { start: first.start, end: first.start, look: first.look, lines: 0, node };
  }

  private showAll(): void {
    const { gap } = this;
    if (gap === null) {
      return;
    }
    const between = this.blocksOf(this.hidden(gap), gap.start, gap.look);
    gap.node.replaceWith(...between.map(block => this.nodeOf(block)));
    this.blocks.splice(this.blocks.findIndex(block => block.start >= gap.end), 0, ...between);
    this.gap = null;
    this.all = true;
  }

  private hidden({ start, end }: Gap): string {
    return this.whole().slice(start, end);
  }

  /** The text as it was printed, with what is not shown, in place of the page's idea of it, which doubles ends of lines. */
  private copy(event: ClipboardEvent): void {
    const selection = document.getSelection();
    const range = selection?.rangeCount === 1 ? selection.getRangeAt(0) : null;
    if (!range || range.collapsed || !this.node.contains(range.commonAncestorContainer) || !event.clipboardData) {
      return;
    }
    const taken = range.cloneContents();
    if (this.gap) {
      const { runs } = runsOf(this.hidden(this.gap), this.gap.look);
      taken.querySelector('.wb-Printed-gap')?.replaceWith(...runs.map(run => run.text));
    }
    event.clipboardData.setData('text/plain', taken.textContent ?? '');
    event.preventDefault();
  }

  private blocks: Block[] = [];
  private gap: Gap | null = null;
  private drawn = 0;
  private waiting = '';
  private changed = false;
  private all = false;
}
