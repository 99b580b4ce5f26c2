import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IEditorLanguageRegistry } from '@jupyterlab/codemirror';

export const sqlCells: JupyterFrontEndPlugin<void> = {
  id: 'analytics-workbench:sql-cells',
  description: 'SQL colours in cells that begin with %%sql',
  autoStart: true,
  optional: [IEditorLanguageRegistry], // `requires` would make the bundle fail where the token is absent
  activate: (_app: JupyterFrontEnd, languages: IEditorLanguageRegistry | null) => {
    const ipython = languages?.findByName('ipython');
    const load = ipython?.load?.bind(ipython);
    if (!ipython || !load) {
      return;
    }
    // addLanguage() refuses a name that is taken, so the entry is redirected before the first editor asks for it.
    const before = ipython.support;
    Object.assign(ipython, {
      support: undefined,
      load: async () => {
        const { withSqlCells } = await import('./mixed');
        return withSqlCells(before ?? (await load()));
      }
    });
  }
};
