import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { ICodeCellModel } from '@jupyterlab/cells';
import { EditorExtensionRegistry, IEditorExtensionRegistry } from '@jupyterlab/codemirror';

import { IWorkbench } from '../tokens';
import type { Workbench } from '../workbench';

export const sqlTools: JupyterFrontEndPlugin<void> = {
  id: 'analytics-workbench:sql-tools',
  description: 'Connection, Explain and Stop above SQL cells; errors are underlined at their place',
  autoStart: true,
  optional: [IWorkbench, IEditorExtensionRegistry],
  activate: async (_app: JupyterFrontEnd, workbench: Workbench | null, editors: IEditorExtensionRegistry | null) => {
    if (!workbench?.notebooks || !editors) {
      return;
    }
    // Lab opens its notebooks when all that starts by itself has started, so this is in time for the first of them.
    const [{ Executing }, { faultMarks }, { strip }] = await Promise.all([
      import('./actions'),
      import('./marks'),
      import('./strip')
    ]);
    const executing = new Executing(workbench.notebooks);
    editors.addExtension({
      name: 'analytics-workbench:sql-cell',
      factory: ({ model }) => {
        if (!('outputs' in model)) {
          return null; // a file, or a cell of text
        }
        const cell = model as unknown as ICodeCellModel;
        const parts = [faultMarks(cell), strip(workbench, executing, cell)];
        return EditorExtensionRegistry.createImmutableExtension(parts);
      }
    });
  }
};
