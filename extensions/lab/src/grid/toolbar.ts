import { copyIcon, downloadIcon, LabIcon, launchIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';

import { h, replace } from '../dom';
import { ColumnInfo, Conditions } from './api';
import { sentence } from './conditions';

export interface BarActions {
  conditions(changed: Conditions): void;
  export(format: 'csv' | 'parquet'): void;
  copy(): void;
  /** Not there where the grid is in a tab already, or where there are none. */
  tab?: () => void;
  /** Back from the search to the rows. */
  rows(): void;
  /** Ends the search for rows that is under way. */
  stop(): void;
}

const SEARCH_DELAY = 300;
const NAMED = 3;

/** Above the rows: search, the conditions as chips, how many rows there are, and what can be done with them. */
export class Bar extends Widget {
  constructor(
    private readonly columns: ColumnInfo[],
    private readonly actions: BarActions
  ) {
    super();
    this.addClass('wb-Bar');
    this.search = h('input', {
      type: 'search',
      class: 'jp-mod-styled wb-Bar-search',
      placeholder: 'Search all columns',
      'aria-label': 'Search all columns',
      title: 'Search all columns ( / )'
    });
    this.search.addEventListener('input', () => {
      clearTimeout(this.delay);
      this.delay = window.setTimeout(() => this.searched(), SEARCH_DELAY);
    });
    this.search.addEventListener('keydown', event => this.onSearchKey(event));
    const button = (icon: LabIcon, text: string, title: string, click: () => void) =>
      h('button', { type: 'button', class: 'wb-Bar-button', title, 'aria-label': title, click }, icon.element(), h('span', {}, text));
    const { tab } = actions;
    const tools = h(
      'div',
      { class: 'wb-Bar-tools', role: 'toolbar', 'aria-label': 'Result' },
      button(copyIcon, 'Copy', 'Copy what is selected, else all rows (Ctrl+C)', () => actions.copy()),
      button(downloadIcon, 'CSV', 'Export these rows as CSV', () => actions.export('csv')),
      button(downloadIcon, 'Parquet', 'Export these rows as Parquet', () => actions.export('parquet')),
      tab && button(launchIcon, 'Tab', 'Open this result in a tab of its own', tab)
    );
    this.halt = h('button', {
      type: 'button',
      class: 'wb-Bar-stop',
      title: 'Stop looking for rows',
      hidden: true,
      click: () => actions.stop()
    }, 'Stop');
    this.tools = [...tools.querySelectorAll('button')];
    this.node.append(h('div', { class: 'wb-Bar-row' }, this.search, this.count, this.halt, tools), this.chips, this.spoken);
  }

  focusSearch(): void {
    this.search.focus();
    this.search.select();
  }

  /** `why` there are no more; `spoken`: also said by a screen reader; not while rows are still coming, which would never end. */
  showCount(text: string, why: string, spoken: boolean): void {
    this.count.textContent = text;
    this.count.title = why || text;
    if (spoken && this.spoken.textContent !== text) {
      this.spoken.textContent = text;
    }
  }

  /** Whether Stop is there. */
  showStop(shown: boolean): void {
    if (!shown && document.activeElement === this.halt) {
      this.actions.rows(); // the keyboard stays in the grid
    }
    this.halt.hidden = !shown;
  }

  say(text: string): void {
    this.spoken.textContent = text;
  }

  showConditions(conditions: Conditions): void {
    this.conditions = conditions;
    const info = (name: string) => this.columns.find(one => one.name === name);
    const chip = (text: string, without: Conditions) => {
      const remove = () => this.actions.conditions(without);
      const label = `Remove: ${text}`;
      const cross = h('button', { type: 'button', 'aria-label': label, title: label, click: remove }, '×');
      return h('span', { class: 'wb-Chip', title: text }, h('span', {}, text), cross);
    };
    const { sort, filters, search } = conditions;
    replace(
      this.chips,
      ...filters.map(one => chip(sentence(one, info(one.column)), { ...conditions, filters: filters.filter(other => other !== one) })),
      search ? chip(`contains '${search}'${exceptFor(this.leftOut)}`, { ...conditions, search: '' }) : null,
      ...sort.map(one =>
        chip(`${one.column} ${one.descending ? '▼' : '▲'}`, { ...conditions, sort: sort.filter(other => other !== one) })
      )
    );
    if (document.activeElement !== this.search) {
      this.search.value = search;
    }
  }

  /** Columns that the search leaves out. */
  set unsearched(names: string[]) {
    if (names.join('\0') !== this.leftOut.join('\0')) {
      this.leftOut = names;
      this.search.title = `Search all columns${exceptFor(names)} ( / )`;
      this.showConditions(this.conditions);
    }
  }

  enable(enabled: boolean): void {
    this.search.disabled = !enabled;
    this.chips.querySelectorAll('button').forEach(button => (button.disabled = !enabled));
    this.tools.slice(0, 3).forEach(button => (button.disabled = !enabled));
  }

  private onSearchKey(event: KeyboardEvent): void {
    event.stopPropagation();
    if (event.key === 'Enter' || event.key === 'Escape') {
      event.preventDefault();
      if (event.key === 'Escape') {
        this.search.value = '';
      }
      this.searched();
      this.actions.rows();
    }
  }

  private searched(): void {
    clearTimeout(this.delay);
    if (this.search.value !== this.conditions.search) {
      this.actions.conditions({ ...this.conditions, search: this.search.value });
    }
  }

  private readonly search: HTMLInputElement;
  private readonly chips = h('div', { class: 'wb-Bar-chips' });
  private readonly count = h('span', { class: 'wb-Bar-count' });
  private readonly spoken = h('span', { class: 'wb-Spoken', role: 'status', 'aria-live': 'polite' });
  private readonly halt: HTMLButtonElement;
  private readonly tools: HTMLButtonElement[];
  private conditions: Conditions = { sort: [], filters: [], search: '' };
  private delay = 0;
  private leftOut: string[] = [];
}

/** `, but not in a, b or 3 more`; nothing where there are none. */
function exceptFor(names: string[]): string {
  const rest = names.length - NAMED;
  return names.length ? `, but not in ${names.slice(0, NAMED).join(', ')}${rest > 0 ? ` or ${rest} more` : ''}` : '';
}
