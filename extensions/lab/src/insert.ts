import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { INotebookTracker, Notebook, NotebookPanel } from '@jupyterlab/notebook';

import { isSql } from './cells/magic';

/** Puts names and cells into the notebook that is in use; without one, into a new one. */
export class Inserter {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly notebooks: INotebookTracker | null
  ) {}

  /** Into the SQL cell that is in use, else as a cell of its own. */
  async nameOrCell(name: string, cell: string): Promise<void> {
    const active = this.notebooks?.currentWidget?.content.activeCell;
    if (active?.model.type === 'code' && isSql(active.model.sharedModel.getSource())) {
      this.name(name);
    } else {
      await this.cell(cell);
    }
  }

  /** At the cursor of the cell that is in use; false where there is none. */
  name(text: string): boolean {
    const panel = this.notebooks?.currentWidget;
    const editor = panel?.content.activeCell?.editor;
    if (!panel || !editor || panel.content.activeCell?.model.getMetadata('editable') === false) {
      return false;
    }
    editor.replaceSelection?.(text);
    this.app.shell.activateById(panel.id);
    panel.content.mode = 'edit';
    editor.focus();
    return true;
  }

  /** Below the cell that is in use, or in it when it is empty. */
  async cell(source: string): Promise<void> {
    const panel = this.notebooks?.currentWidget ?? (await this.newNotebook());
    if (!panel) {
      return;
    }
    await panel.context.ready;
    putCell(panel.content, source);
    this.app.shell.activateById(panel.id);
  }

  /** A notebook whose first cell is `source`; where its kernel does not bring the magics, a cell before it loads them. */
  async newNotebook(cwd?: string, source?: string): Promise<NotebookPanel | null> {
    const panel = (await this.app.commands.execute('notebook:create-new', {
      cwd: cwd ?? '',
      kernelName: this.app.serviceManager.kernelspecs.specs?.default
    })) as NotebookPanel | undefined;
    if (!panel?.content) {
      return null;
    }
    await panel.context.ready;
    const spec = this.app.serviceManager.kernelspecs.specs?.kernelspecs[panel.sessionContext.kernelPreference.name ?? ''];
    if (!spec?.argv.includes('workbench')) {
      putCell(panel.content, '%load_ext workbench');
    }
    if (source !== undefined) {
      putCell(panel.content, source);
      panel.content.mode = 'edit';
      panel.content.activeCell?.editor?.setCursorPosition({ line: source.split('\n').length - 1, column: 0 });
    }
    return panel;
  }
}

function putCell(notebook: Notebook, source: string): void {
  const model = notebook.model?.sharedModel;
  if (!model) {
    return;
  }
  const active = notebook.activeCell;
  if (active?.model.type === 'code' && active.model.sharedModel.getSource().trim() === '') {
    active.model.sharedModel.setSource(source);
  } else {
    const place = notebook.activeCellIndex + 1;
    model.insertCell(place, { cell_type: 'code', source, metadata: { trusted: true } });
    notebook.activeCellIndex = place;
  }
  notebook.deselectAll();
  void notebook.scrollToItem(notebook.activeCellIndex, 'smart');
}
