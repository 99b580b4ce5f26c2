import { Debouncer } from '@lumino/polling';
import { Message } from '@lumino/messaging';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import { h } from '../dom';
import type { Connections } from './connections';
import { startDrag } from './drag';
import { Row, Tree } from './tree';
import { drawRow, EXPANDS, RowActions } from './treerow';
import { Windowed } from './windowed';

const ROW_HEIGHT = 24;
const PATIENCE = 250;

/** What of the catalog comes back after a reload. */
export interface CatalogState {
  open: string[];
  search: string;
  top: number;
}

/** The tree of all that can be asked for, with its search. */
export class CatalogView extends Widget {
  constructor(private readonly connections: Connections, private readonly tree: Tree, private readonly actions: RowActions) {
    super();
    this.addClass('wb-Catalog');
    this.box = h('input', {
      type: 'search', class: 'jp-mod-styled wb-Search', placeholder: 'Search tables', 'aria-label': 'Search tables', spellcheck: 'false',
      input: () => this.type()
    });
    this.scroller = h('div', { class: 'wb-Tree', role: 'tree', tabindex: 0, 'aria-label': 'Catalog' });
    this.node.append(this.box, this.scroller);
    this.windowed = new Windowed(this.scroller, ROW_HEIGHT, place => this.draw(place), (first, last) => this.seen(first, last));
    this.scroller.addEventListener('keydown', event => this.typedKey(event));
    this.scroller.addEventListener('click', event => this.clicked(event));
    this.scroller.addEventListener('dblclick', event => this.enter(event));
    this.scroller.addEventListener('mousedown', event => this.held(event));
    this.scroller.addEventListener('mouseup', event => this.released(event));
    this.scroller.addEventListener('scroll', () => void this.moved.invoke(), { passive: true });
    tree.changed.connect(() => this.update());
    this.update();
  }

  readonly stateChanged = new Signal<this, void>(this);

  /** The row that is chosen. */
  get current(): Row | undefined {
    return this.rows[this.at];
  }

  get state(): CatalogState {
    return { open: [...this.tree.open], search: this.tree.search, top: this.scroller.scrollTop };
  }

  set state(state: CatalogState) {
    state.open.forEach(key => this.tree.open.add(key));
    this.box.value = this.tree.search = state.search;
    this.top = state.top;
    this.update();
  }

  dispose(): void {
    this.windowed.dispose();
    clearTimeout(this.typing);
    this.moved.dispose();
    super.dispose();
  }

  protected onUpdateRequest(_: Message): void {
    const chosen = this.current?.key;
    this.rows = this.tree.rows();
    this.at = Math.max(0, this.rows.findIndex(row => row.key === chosen));
    this.windowed.reset(this.rows.length);
    if (this.top > 0 && this.rows.length * ROW_HEIGHT > this.top + this.scroller.clientHeight) {
      this.scroller.scrollTop = this.top; // as far as it was, once so much is there again
      this.top = 0;
    }
  }

  private draw(place: number): HTMLElement {
    const row = this.rows[place];
    const icon = (): HTMLElement => this.connections.icon(this.connections.all.find(one => one.name === row.connection)!);
    return drawRow(row, place, place === this.at, icon, this.actions);
  }

  private seen(first: number, last: number): void {
    for (const row of this.rows.slice(first, last)) {
      if (row.kind === 'more') {
        this.tree.more(row);
      }
    }
    this.point();
  }

  /** What is typed is asked for after a pause; with nothing to look for, the whole tree is there at once. */
  private type(): void {
    clearTimeout(this.typing);
    if (this.box.value.trim()) {
      this.typing = window.setTimeout(() => this.look(), PATIENCE);
    } else {
      this.look();
    }
  }

  private look(): void {
    this.tree.search = this.box.value.trim();
    this.scroller.scrollTop = 0;
    this.stateChanged.emit();
  }

  /** Only what is in the page can be pointed at. */
  private point(): void {
    if (this.windowed.row(this.at)) {
      this.scroller.setAttribute('aria-activedescendant', `wb-row-${this.at}`);
    } else {
      this.scroller.removeAttribute('aria-activedescendant');
    }
  }

  private choose(place: number): void {
    this.windowed.row(this.at)?.setAttribute('aria-selected', 'false');
    this.at = Math.min(Math.max(0, place), this.rows.length - 1);
    this.windowed.show(this.at);
    this.windowed.row(this.at)?.setAttribute('aria-selected', 'true');
    this.point();
  }

  private toggle(row: Row, open?: boolean): void {
    this.tree.toggle(row.key, open);
    this.stateChanged.emit();
  }

  private typedKey(event: KeyboardEvent): void {
    const row = this.current;
    if (!row || event.altKey || event.ctrlKey || event.metaKey) {
      return;
    }
    const keys: Record<string, () => void> = {
      ArrowDown: () => this.choose(this.at + 1),
      ArrowUp: () => this.choose(this.at - 1),
      PageDown: () => this.choose(this.at + this.windowed.page),
      PageUp: () => this.choose(this.at - this.windowed.page),
      Home: () => this.choose(0),
      End: () => this.choose(this.rows.length - 1),
      ArrowRight: () => (EXPANDS.has(row.kind) && !row.open ? this.toggle(row, true) : this.choose(this.at + 1)),
      ArrowLeft: () => (row.open ? this.toggle(row, false) : this.choose(this.parentOf(this.at))),
      ' ': () => EXPANDS.has(row.kind) && this.toggle(row),
      Enter: () => this.insert(row, event.shiftKey)
    };
    if (keys[event.key]) {
      event.preventDefault();
      event.stopPropagation();
      keys[event.key]();
    }
  }

  private insert(row: Row, whole: boolean): void {
    if (row.kind === 'table' && whole) {
      this.actions.insertCell(row);
    } else if (row.kind === 'table' || row.kind === 'column') {
      this.actions.insertName(row);
    } else if (row.kind === 'note' && row.bad) {
      this.actions.retry(row);
    } else if (EXPANDS.has(row.kind)) {
      this.toggle(row);
    }
  }

  private parentOf(place: number): number {
    const level = this.rows[place].level;
    let above = place;
    while (above > 0 && this.rows[above].level >= level) {
      above--;
    }
    return above;
  }

  private clicked(event: MouseEvent): void {
    const row = this.under(event);
    if (row && !onButton(event) && EXPANDS.has(row.kind) && event.detail < 2) {
      this.toggle(row);
    }
  }

  private enter(event: MouseEvent): void {
    const row = this.under(event);
    if (row && !onButton(event) && (row.kind === 'table' || row.kind === 'column')) {
      this.actions.insertName(row);
    }
  }

  private held(event: MouseEvent): void {
    const row = this.under(event);
    this.pressed = row && !onButton(event) ? { key: row.key, node: event.target as Element } : null;
    if (row) {
      this.choose(this.rows.indexOf(row));
      if (event.button === 0 && !onButton(event)) {
        startDrag(event, row);
      }
    }
  }

  /** A row that was drawn anew while it was pressed gets no click from the browser. */
  private released(event: MouseEvent): void {
    const row = this.under(event);
    if (event.button === 0 && row && this.pressed?.key === row.key && !this.pressed.node.isConnected && EXPANDS.has(row.kind)) {
      this.toggle(row);
    }
  }

  private under(event: MouseEvent): Row | undefined {
    const place = (event.target as Element).closest<HTMLElement>('.wb-Row')?.dataset.place;
    return place === undefined ? undefined : this.rows[Number(place)];
  }

  private readonly moved = new Debouncer(() => this.stateChanged.emit(), 500);
  private readonly box: HTMLInputElement;
  private readonly scroller: HTMLElement;
  private readonly windowed: Windowed;
  private typing = 0;
  private pressed: { key: string; node: Element } | null = null;
  private rows: Row[] = [];
  private at = 0;
  private top = 0;
}

function onButton(event: MouseEvent): boolean {
  return (event.target as Element).closest('button') !== null;
}
