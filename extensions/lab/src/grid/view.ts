import '../../src/grid/grid.css';

import { IStateDB } from '@jupyterlab/statedb';
import { Message, MessageLoop } from '@lumino/messaging';
import { Debouncer } from '@lumino/polling';
import { Panel, Widget } from '@lumino/widgets';

import { reason } from '../client';
import { h, replace } from '../dom';
import { Conditions, Head, isForgotten, isGone, ResultApi, Shown, View } from './api';
import { Asking } from './asking';
import { ResultGrid } from './canvas';
import { counted, narrows, none, sorted, sought } from './conditions';
import { copy } from './copying';
import { agreed, download, fileName } from './exporting';
import { askFilter } from './filterbox';
import { Actions } from './handlers';
import { Columns } from './columns';
import { ResultModel } from './model';
import { Tiles } from './tiles';
import { Bar } from './toolbar';
import { showValue } from './viewer';

const HIGHEST = 400;
const SLOW = 200;
const RESTS = 250;
const FIRST_PAUSE = 300;
const LONGEST_PAUSE = 30_000;
const GONE = 'This result is gone: its kernel has ended or let go of it. Run the cell again to have its rows.';

export interface Place {
  /** Whether it stands in a notebook, where it is as high as it needs to be, or fills a tab. */
  inNotebook: boolean;
  /** Opens the same rows in a tab; not there where they are in one, or where there are none. */
  tab?: (conditions: Conditions) => void;
  /** Called when somebody turns to the grid. */
  turned?: () => void;
  state: IStateDB | null;
}

/** A whole result: its rows as a grid, and above it what is shown of it. */
export class GridView extends Panel {
  constructor(
    private readonly api: ResultApi,
    shown: Shown,
    private readonly place: Place,
    conditions?: Conditions
  ) {
    super();
    this.addClass('wb-Grid');
    this.addClass(place.inNotebook ? 'wb-mod-output' : 'wb-mod-tab');
    this.node.setAttribute('data-lm-suppress-shortcuts', 'true'); // its keys are not the notebook's
    this.node.addEventListener('focusin', () => place.turned?.());
    this.head = { ...shown, note: '', estimate: null, unsearched: [] };
    this.model = new ResultModel(shown.columns, this.tiles('', shown.rows), shown.columns.map((_, i) => i));
    this.grid = new ResultGrid(this.model, this.actions());
    this.columns = new Columns(this.model, this.grid, place.state);
    this.bar = new Bar(shown.columns, {
      conditions: changed => void this.ask(changed),
      export: format => void this.export(format),
      copy: () => void this.copy(),
      rows: () => this.grid.viewport.node.focus(),
      stop: () => this.asking?.stop(),
      tab: place.tab && (() => place.tab!(this.asked))
    });
    this.notice = new Widget({ node: h('div', { class: 'wb-Notice', role: 'alert', hidden: true }) });
    this.line = new Widget({ node: h('div', { class: 'wb-Line', 'aria-hidden': 'true' }) });
    [this.bar, this.notice, this.line, this.grid].forEach(part => this.addWidget(part));
    this.grid.node.append(this.mark);
    this.connect();
    this.showCount();
    this.resize();
    this.grid.node.setAttribute('aria-busy', 'true');
    void this.columns.restore().then(() => {
      this.resize();
      if (!this.asking) {
        this.grid.node.setAttribute('aria-busy', 'false');
      }
    });
    void this.follow();
    if (conditions && !none(conditions)) {
      void this.ask(conditions);
    }
  }

  dispose(): void {
    if (!this.isDisposed) {
      clearTimeout(this.timer);
      this.asking?.drop();
      this.model.tiles.clear();
      this.themes.disconnect();
      this.settled.dispose();
      super.dispose();
    }
  }

  protected onActivateRequest(_msg: Message): void {
    this.grid.activate();
  }

  private tiles(view: string, rows: number): Tiles {
    return new Tiles((...page) => this.api.page(view, ...page), this.head.columns.length, rows);
  }

  private connect(): void {
    const { tiles } = this.model;
    tiles.window = () => this.grid.window();
    tiles.failed = error => this.failed(error);
    this.fitted = false;
    const arrived = tiles.arrived;
    tiles.arrived = (...where) => {
      arrived(...where);
      this.renewed = false;
      if (!this.fitted) {
        this.fitted = true;
        this.widen();
      } else {
        void this.settled.invoke(); // columns grow when the scrolling rests, not under it
      }
    };
  }

  // --- following the result

  /** Until it is complete: how many rows there are. */
  private async follow(): Promise<void> {
    try {
      this.head = await this.api.head();
    } catch (error) {
      this.failed(error);
      if (!isGone(error) && !this.isDisposed) {
        this.pause = Math.min(LONGEST_PAUSE, this.pause * 2);
        this.timer = window.setTimeout(() => void this.follow(), this.pause);
        this.lost = true;
      }
      return;
    }
    if (this.isDisposed) {
      return;
    }
    if (this.lost) {
      this.lost = false;
      this.pause = FIRST_PAUSE;
      this.say('');
    }
    this.bar.unsearched = this.head.unsearched;
    const running = this.head.state === 'running';
    if (none(this.model.conditions)) {
      this.model.grow(this.head.rows);
    } else if (!running && this.partial) {
      void this.ask(this.model.conditions); // it was asked of a part of the rows
    }
    this.showCount();
    this.resize();
    if (running) {
      this.pause = Math.min(2000, this.pause * 1.3);
      this.timer = window.setTimeout(() => void this.follow(), this.pause);
    }
  }

  private failed(error: unknown): void {
    if (this.view && !this.renewed && isForgotten(error)) {
      this.renewed = true; // once
      void this.ask(this.asked);
    } else if (isGone(error)) {
      this.gone = true;
      this.bar.enable(false);
      this.say(GONE);
    } else if (!this.isDisposed) {
      this.say(reason(error));
    }
  }

  private say(text: string): void {
    this.notice.node.hidden = text === '';
    replace(this.notice.node, text);
  }

  private showCount(): void {
    const { state, note } = this.head;
    const found = this.found();
    if (this.sought) {
      this.bar.showCount(sought(this.sought, narrows(this.asked)), '', false);
    } else if (this.looked !== null && found !== null) {
      this.bar.showCount(this.counted(), 'The search was stopped: other rows may fit, too', true);
    } else {
      this.bar.showCount(this.counted(), note, state !== 'running' || found !== null);
    }
    if (state === 'failed' && note && !this.gone) {
      this.say(note);
    }
  }

  /** Rows that fit, where conditions leave out others. */
  private found(): number | null {
    return narrows(this.model.conditions) ? this.model.rowCount('body') : null;
  }

  /** How many rows there are, in words. */
  private counted(): string {
    const found = this.found();
    return this.looked !== null && found !== null
      ? counted('stopped', this.looked, found)
      : counted(this.head.state, this.partial ?? this.head.rows, found, this.head.estimate);
  }

  // --- asking for other rows

  private ask(conditions: Conditions): Promise<void> {
    return (this.searching = this.gone ? Promise.resolve() : this.search(conditions));
  }

  private async search(conditions: Conditions): Promise<void> {
    this.asking?.drop();
    let shown = false;
    const before = this.model.conditions;
    const asking = (this.asking = new Asking(this.api, conditions, view => {
      if (shown) {
        this.model.grow(view.rows);
      } else if (view.rows > 0 || view.state === 'done') {
        shown = true;
        this.showRows(view, conditions);
      }
      this.sought = view.state === 'working' ? view : null;
      this.looked = view.state === 'stopped' ? view.seen : null;
      this.showCount();
    }));
    this.asked = conditions;
    this.bar.showConditions(conditions);
    this.grid.node.setAttribute('aria-busy', 'true');
    const slow = window.setTimeout(() => this.busy(true), SLOW);
    try {
      if (none(conditions)) {
        this.sought = this.looked = null;
        this.showRows({ view: '', rows: this.head.rows, of: this.head.rows, seen: 0, total: null, state: 'done' }, conditions);
        return;
      }
      const view = await asking.run();
      if (view?.state === 'stopped' && (!shown || conditions.sort.length > 0)) {
        this.looked = null;
        await this.back(before, shown); // a part of an order is none
      }
    } catch (error) {
      if (!asking.isDropped) {
        this.sought = null;
        await this.back(before, shown);
        this.failed(error);
      }
    } finally {
      clearTimeout(slow);
      if (this.asking === asking) {
        this.sought = null;
        this.busy(false);
        this.grid.node.setAttribute('aria-busy', 'false');
        if (!this.isDisposed) {
          this.showCount();
          this.resize();
        }
      }
    }
  }

  /** Other rows than before, from the first. */
  private showRows(view: View, conditions: Conditions): void {
    if (this.isDisposed) {
      return;
    }
    this.view = view.view;
    this.partial = !none(conditions) && this.head.state === 'running' ? view.of : null;
    this.say('');
    this.grid.selectionModel?.clear();
    this.model.reset(this.tiles(view.view, view.rows), conditions);
    this.connect();
    this.columns.apply();
    MessageLoop.flush(); // what is still to be resized would undo the scrolling
    this.grid.scrollTo(this.grid.scrollX, 0);
    this.showCount();
    this.resize();
  }

  /** To the conditions before, whose rows are still here or are had anew. */
  private async back(before: Conditions, shown: boolean): Promise<void> {
    if (shown) {
      await this.ask(before);
    } else {
      this.asked = before;
      this.bar.showConditions(before);
    }
  }

  private busy(busy: boolean): void {
    this.line.toggleClass('wb-mod-busy', busy);
    this.bar.showStop(busy);
  }

  private actions(): Actions {
    const name = (column: number) => this.model.header(column).name;
    return {
      sort: (column, add) => {
        void this.ask({ ...this.asked, sort: sorted(this.asked.sort, name(column), add) });
      },
      filter: (column, at) => void this.filter(column, at),
      move: (from, to) => {
        this.model.move(from, to);
        this.columns.keep();
      },
      resized: () => this.columns.keep(),
      fit: column => {
        this.grid.resizeColumn('body', column, this.grid.neededWidth(column));
        this.columns.keep();
      },
      open: (row, column) => void this.open(row, column),
      copy: () => void this.copy(),
      search: () => this.bar.focusSearch(),
      hint: column => `${name(column)}: ${this.model.header(column).type}`,
      mark: x => {
        this.mark.hidden = x === null;
        this.mark.style.left = `${x ?? 0}px`;
      }
    };
  }

  private async filter(column: number, at: { x: number; y: number }): Promise<void> {
    const info = this.model.header(column);
    const before = this.asked.filters.find(one => one.column === info.name);
    const answer = await askFilter(info, at, before);
    if (answer !== null) {
      const others = this.asked.filters.filter(one => one !== before);
      await this.ask({ ...this.asked, filters: answer === 'remove' ? others : [...others, answer] });
    }
  }

  // --- one value, some values, all values

  private async open(row: number, column: number): Promise<void> {
    try {
      const { name, type } = this.model.header(column);
      const value = await this.api.cell(this.view, row, this.model.order[column]);
      await showValue({ ...value, column: name, type, row });
      this.grid.activate();
    } catch (error) {
      this.failed(error);
    }
  }

  private async copy(): Promise<void> {
    try {
      const words = await copy(this.api, this.view, this.model, this.grid.selectionModel?.currentSelection() ?? null);
      this.bar.say(words);
      this.flash(words);
    } catch (error) {
      this.failed(error);
    }
  }

  /** A download that fails would be a file with the error in it: what can be asked before, is. */
  private async export(format: 'csv' | 'parquet'): Promise<void> {
    try {
      if (this.sought) {
        this.flash('The export begins when all rows are found, or when Stop is pressed');
      }
      for (let seen: Promise<void> | null = null; seen !== this.searching; await seen) {
        seen = this.searching; // the conditions may be changed meanwhile
      }
      this.head = await this.api.head();
      await this.renew();
      const { state } = this.head;
      const rows = this.view ? this.model.rowCount('body') : this.head.rows;
      const words = this.counted();
      const whole = state === 'done' && this.partial === null && this.looked === null;
      if (state === 'running' && !(await agreed(words))) {
        return;
      }
      const name = fileName(this.api.id, whole, this.looked ?? this.partial ?? this.head.rows);
      download(this.api.exportUrl(this.view, format, rows, name), `${name}.${format}`);
      this.bar.say(`Exporting ${words}`);
      if (!whole) {
        this.flash(`Exporting ${words}`);
      }
    } catch (error) {
      this.failed(error);
    }
  }

  /** Has the view made again where the server has let go of it. */
  private async renew(): Promise<void> {
    if (this.view) {
      try {
        await this.api.standing(this.view);
      } catch (error) {
        if (!isForgotten(error)) {
          throw error;
        }
        await this.ask(this.asked);
        await this.api.standing(this.view);
      }
    }
  }

  private flash(text: string): void {
    const note = h('div', { class: 'wb-Flash', 'aria-hidden': 'true' }, text);
    this.node.append(note);
    setTimeout(() => note.remove(), 4000);
  }

  // --- how it looks

  private widen(): void {
    if (!this.isDisposed) {
      this.columns.fit();
      this.resize();
    }
  }

  /** In a notebook a small result is as high as its rows, a large one has its own scroll bar. */
  private resize(): void {
    if (this.place.inNotebook) {
      this.grid.node.style.height = `${Math.min(HIGHEST, this.grid.wholeHeight)}px`;
    }
  }

  private readonly themes = themeWatcher(() => this.grid.restyle());
  private readonly columns: Columns;
  private readonly model: ResultModel;
  private readonly grid: ResultGrid;
  private readonly bar: Bar;
  private readonly notice: Widget;
  private readonly line: Widget;
  private readonly mark = h('div', { class: 'wb-Mark', hidden: true });
  private head: Head;
  private view = '';
  private asked: Conditions = { sort: [], filters: [], search: '' }; // what the rows shown will be once they are here
  private partial: number | null = null; // rows that the conditions were asked of, where more have come since
  private fitted = false;
  private readonly settled = new Debouncer(() => this.widen(), RESTS);
  private gone = false;
  private renewed = false;
  private asking: Asking | null = null;
  private searching: Promise<void> = Promise.resolve();
  private sought: View | null = null; // while rows are looked for: how far that is
  private looked: number | null = null; // rows that were looked at when the search was stopped
  private timer = 0;
  private lost = false; // whether the server was out of reach when it was asked last
  private pause = FIRST_PAUSE;
}

/** Lab and Notebook write the theme's name on the body once its colours are there. */
function themeWatcher(changed: () => void): MutationObserver {
  const watcher = new MutationObserver(changed);
  watcher.observe(document.body, { attributes: true, attributeFilter: ['data-jp-theme-name', 'data-jp-theme-light'] });
  return watcher;
}
