import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { LanguageSupport, LRLanguage } from '@codemirror/language';
import { parseMixed } from '@lezer/common';

import { duckdb } from './dialect';

/** The line of the magic with all its options; IPython takes blank lines and an indentation before it. */
const MAGIC_LINE = /^\s*%%sql(?=\s)[^\n]*\n/;
const LONGEST_MAGIC_LINE = 4096;

/** The same Python, but what follows a leading `%%sql` line is read, coloured and indented as SQL. */
function withSqlCells(python: LanguageSupport): LanguageSupport {
  if (!(python.language instanceof LRLanguage)) {
    return python; // some other extension brought an editor mode of another make: leave it alone
  }
  const language = python.language.configure({
    wrap: parseMixed((node, input) => {
      if (!node.type.isTop) {
        return null;
      }
      const magic = MAGIC_LINE.exec(input.read(0, Math.min(input.length, LONGEST_MAGIC_LINE)));
      if (magic === null || magic[0].length >= input.length) {
        return null;
      }
      return { parser: duckdb.language.parser, overlay: [{ from: magic[0].length, to: input.length }] };
    })
  });
  return new LanguageSupport(language, python.support);
}

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
      load: async () => withSqlCells(before ?? (await load()))
    });
  }
};
