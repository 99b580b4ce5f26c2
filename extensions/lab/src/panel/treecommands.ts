import { Clipboard } from '@jupyterlab/apputils';
import { CommandRegistry } from '@lumino/commands';

import type { CatalogView } from './catalog';
import { written } from './drag';
import type { Row } from './tree';
import { EXPANDS, RowActions } from './treerow';

/** The lines of the tree's context menu, which is named in `schema/plugin.json`; they are about the row that is chosen. */
export function addTreeCommands(commands: CommandRegistry, catalog: CatalogView, actions: RowActions): void {
  const add = (id: string, label: string, fits: (row: Row) => boolean, action: (row: Row) => void): void => {
    const here = (): boolean => catalog.current !== undefined && fits(catalog.current);
    commands.addCommand(`workbench:${id}`, {
      label,
      isVisible: here,
      isEnabled: here,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => {
        if (catalog.current && fits(catalog.current)) {
          action(catalog.current);
        }
      }
    });
  };
  const isTable = (row: Row): boolean => row.kind === 'table';
  const hasName = (row: Row): boolean => isTable(row) || row.kind === 'column';
  add('insert-name', 'Insert Its Name', hasName, actions.insertName);
  add('insert-table-cell', 'Insert a Cell That Reads It', isTable, actions.insertCell);
  add('sample', 'Show Its First Rows', isTable, actions.sample);
  add('copy-name', 'Copy Its Name', hasName, row => Clipboard.copyToSystem(written(row)));
  add('refresh-node', 'Ask Again What Is in It', row => EXPANDS.has(row.kind), actions.refresh);
}
