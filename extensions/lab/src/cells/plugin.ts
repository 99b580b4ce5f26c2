import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICodeCellModel } from '@jupyterlab/cells';
import { EditorExtensionRegistry, IEditorExtensionRegistry } from '@jupyterlab/codemirror';

import { IWorkbench } from '../tokens';
import type { Workbench } from '../workbench';
import { Executing } from './actions';
import { faultMarks } from './marks';
import { strip } from './strip';

export const sqlTools: JupyterFrontEndPlugin<void> = {
  id: 'analytics-workbench:sql-tools',
  description: 'Connection, Explain and Stop above SQL cells; errors are underlined at their place',
  autoStart: true,
  optional: [IWorkbench, IEditorExtensionRegistry],
  activate: (_app: JupyterFrontEnd, workbench: Workbench | null, editors: IEditorExtensionRegistry | null) => {
    if (!workbench?.notebooks || !editors) {
      return;
    }
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
