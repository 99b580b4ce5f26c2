import { Extension, StateField } from '@codemirror/state';
import { EditorView, Panel, showPanel, ViewUpdate } from '@codemirror/view';
import type { ICodeCellModel } from '@jupyterlab/cells';
import { stopIcon } from '@jupyterlab/ui-components';

import { h, iconButton, replace } from '../dom';
import type { Workbench } from '../workbench';
import { explain, Executing, stop } from './actions';
import { isSql, nativeOf, withNative } from './magic';

const LONGEST_HEAD = 4096;

/** A line above each SQL cell: where its text goes, Explain, and Stop. */
export function strip(workbench: Workbench, executing: Executing, model: ICodeCellModel): Extension {
  const make = (view: EditorView): Panel => new Strip(workbench, executing, model, view);
  const sql = StateField.define<boolean>({
    create: state => isSql(state.sliceDoc(0, LONGEST_HEAD)),
    update: (was, transaction) => (transaction.docChanged ? isSql(transaction.state.sliceDoc(0, LONGEST_HEAD)) : was),
    provide: field => showPanel.from(field, shown => (shown ? make : null))
  });
  return sql;
}

class Strip implements Panel {
  constructor(
    private readonly workbench: Workbench,
    private readonly executing: Executing,
    private readonly model: ICodeCellModel,
    private readonly view: EditorView
  ) {
    this.select = h('select', {
      class: 'wb-Strip-select', title: 'Where this cell is asked', 'aria-label': 'Where this cell is asked', change: () => this.choose()
    });
    const button = h('button', {
      type: 'button', class: 'wb-Strip-button', title: 'Show what each source would be asked, and run nothing',
      click: () => void explain(workbench, model)
    }, 'Explain');
    this.stop = iconButton(stopIcon, 'Stop this cell', () => stop(workbench, model));
    this.dom = h('div', { class: 'wb-Strip', role: 'group', 'aria-label': 'SQL cell' }, this.select, button, this.stop);
    workbench.connections.changed.connect(this.fill, this);
    executing.changed.connect(this.enable, this);
    void workbench.connections.freshen();
    this.select.addEventListener('focus', () => void workbench.connections.freshen());
    this.fill();
    this.enable();
  }

  readonly top = true;
  readonly dom: HTMLElement;

  update(update: ViewUpdate): void {
    if (update.docChanged && this.shown !== this.native()) {
      this.fill();
    }
  }

  destroy(): void {
    this.workbench.connections.changed.disconnect(this.fill, this);
    this.executing.changed.disconnect(this.enable, this);
  }

  private native(): string {
    return nativeOf(this.view.state.sliceDoc(0, LONGEST_HEAD));
  }

  private fill(): void {
    const { connections } = this.workbench;
    this.shown = this.native();
    const names = connections.all.filter(one => connections.connectorOf(one)?.capabilities.native === true).map(one => one.name);
    if (this.shown && !names.includes(this.shown)) {
      names.push(this.shown);
    }
    replace(
      this.select,
      h('option', { value: '' }, 'SQL · all connections'),
      ...names.map(name => h('option', { value: name }, `${name} · its own SQL`))
    );
    this.select.value = this.shown;
  }

  private choose(): void {
    const change = withNative(this.view.state.doc.toString(), this.select.value);
    if (change && !this.view.state.readOnly) {
      this.view.dispatch({ changes: change, userEvent: 'input' });
    } else {
      this.fill();
    }
  }

  private enable(): void {
    this.stop.disabled = !this.executing.isExecuting(this.model);
  }

  private readonly select: HTMLSelectElement;
  private readonly stop: HTMLButtonElement;
  private shown = '';
}
