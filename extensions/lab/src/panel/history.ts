import { addIcon } from '@jupyterlab/ui-components';
import { Debouncer } from '@lumino/polling';
import { Widget } from '@lumino/widgets';

import { reason } from '../client';
import { duration, grouped, h, iconButton, replace } from '../dom';
import type { Runs } from '../runs';
import type { History } from '../wire';
import { oneLine } from './running';

const SHOWN = 100;
const EVERY = 4_000; // where nobody says that something has run
const WORDS: Record<string, string> = { done: 'done', failed: 'failed', stopped: 'stopped', lost: 'lost' };

const ROWS: Record<string, string> = { write: 'rows written', topology: 'tuples acked', report: 'rows read' };

/** What has run: from each line a cell can be made again. */
export class HistoryView extends Widget {
  constructor(private readonly runs: Runs, private readonly insert: (cell: string) => void) {
    super();
    this.addClass('wb-History');
    this.box = h('input', {
      type: 'search', class: 'jp-mod-styled wb-Search', placeholder: 'Search the history', 'aria-label': 'Search the history',
      spellcheck: 'false', input: () => void this.typed.invoke()
    });
    this.node.append(this.box, this.list);
    runs.ended.connect(() => void this.refresh());
    runs.changed.connect(() => {
      // What begins and ends between two looks is in the history without ever having been seen to run.
      if (this.isVisible && Date.now() - this.asked >= EVERY) {
        void this.refresh();
      }
    });
  }

  async refresh(): Promise<void> {
    const search = this.box.value.trim();
    this.asked = Date.now();
    try {
      const lines = await this.runs.client.history({ limit: SHOWN, search });
      if (search === this.box.value.trim()) {
        this.fill(lines);
      }
    } catch (error) {
      this.seen = '';
      replace(this.list, h('p', { class: 'wb-Problem', role: 'alert' }, reason(error)));
    }
  }

  dispose(): void {
    this.typed.dispose();
    super.dispose();
  }

  private fill(lines: History[]): void {
    // Nothing new: what is pointed at or focused stays the same element.
    const seen = JSON.stringify(lines);
    if (seen === this.seen) {
      return;
    }
    this.seen = seen;
    if (lines.length === 0) {
      replace(this.list, h('p', { class: 'wb-Empty' }, this.box.value ? 'Nothing found.' : 'What has run is listed here.'));
      return;
    }
    replace(this.list, h('ul', { class: 'wb-List', 'aria-label': 'History' }, ...lines.map(line => this.line(line))));
  }

  private line(one: History): HTMLElement {
    const text = oneLine(one.statement);
    const explained = one.kind === 'explain' && one.status === 'done';
    const figures = [
      explained ? 'explained' : WORDS[one.status] ?? one.status,
      one.kind === 'explain' ? '' : `${grouped(one.rows)} ${ROWS[one.kind] ?? 'rows read'}`,
      duration(one.seconds),
      one.connections.length ? `from ${one.connections.join(', ')}` : ''
    ];
    return h(
      'li',
      { class: 'wb-Item', 'data-run': one.id, 'data-status': one.status },
      h(
        'div',
        { class: 'wb-Item-text' },
        h('div', { class: 'wb-Statement', title: one.statement }, text),
        h('div', { class: 'wb-Item-about', title: new Date(one.started * 1000).toLocaleString() }, figures.filter(Boolean).join(' · ')),
        one.error ? h('div', { class: 'wb-State', 'data-kind': 'bad', title: one.error }, oneLine(one.error)) : null
      ),
      // What wrote rows, or was a topology or a report, was no statement: there is nothing to ask again.
      one.kind in ROWS
        ? null
        : h('div', { class: 'wb-Item-actions' }, iconButton(addIcon, `Insert a cell with ${text}`, () => this.insert(cellOf(one))))
    );
  }

  private asked = 0;
  private seen = '';
  private readonly typed = new Debouncer(() => this.refresh(), 250);
  private readonly box: HTMLInputElement;
  private readonly list = h('div', { class: 'wb-History-list' });
}

function cellOf(one: History): string {
  return `%%sql${one.native ? ` --native ${one.native}` : ''}\n${one.statement.trim()}`;
}
