import type { ICommandPalette } from '@jupyterlab/apputils';
import { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { dashboardIcon, kindIcon, workbenchIcon } from './icon';
import type { WorkbenchPanel } from './panel/panel';
import { openDemo, publishNotebook } from './share';
import type { Connector } from './wire';
import type { Workbench } from './workbench';

const CATEGORY = 'Workbench';

export namespace CommandIDs {
  export const open = 'workbench:open';
  export const addConnection = 'workbench:add-connection';
  export const newNotebook = 'workbench:new-sql-notebook';
  export const insertCell = 'workbench:insert-sql-cell';
  export const refresh = 'workbench:refresh-catalog';
  export const stopAll = 'workbench:stop-all';
  export const publish = 'workbench:publish';
  export const demo = 'workbench:open-demo-dashboard';
}

/** What can be done from the palette, the launcher and the menus. */
export function addCommands(
  workbench: Workbench,
  panel: WorkbenchPanel,
  palette: ICommandPalette | null
): void {
  const { commands, shell } = workbench.app;
  const add = (id: string, options: CommandRegistry.ICommandOptions): void => {
    commands.addCommand(id, { describedBy: { args: { type: 'object', properties: {} } }, ...options });
    palette?.addItem({ command: id, category: CATEGORY });
  };
  add(CommandIDs.open, {
    label: 'Open the Workbench Panel',
    caption: 'Connections, catalog, and what runs',
    icon: workbenchIcon,
    execute: () => shell.activateById(panel.id)
  });
  const kindOf = (args: ReadonlyPartialJSONObject): Connector | undefined =>
    workbench.connections.connectors.find(one => one.name === args['connector']);
  add(CommandIDs.addConnection, {
    label: args => kindOf(args)?.label ?? 'Add a Connection…',
    caption: args => (kindOf(args) ? 'Add a connection of this kind' : ''),
    icon: args => (kindOf(args) ? kindIcon(kindOf(args)!) : undefined),
    describedBy: { args: { type: 'object', properties: { connector: { type: 'string', description: 'Its kind' } } } },
    execute: async args => {
      shell.activateById(panel.id);
      await workbench.connections.edit(null, kindOf(args)?.name);
    }
  });
  add(CommandIDs.newNotebook, {
    label: args => (args['isPalette'] || !args['isLauncher'] ? 'New SQL Notebook' : 'SQL notebook'),
    caption: 'A notebook that begins with a SQL cell',
    icon: workbenchIcon,
    describedBy: {
      args: {
        type: 'object',
        properties: {
          cwd: { type: 'string', description: 'The folder in which it is made' },
          isLauncher: { type: 'boolean' },
          isPalette: { type: 'boolean' }
        }
      }
    },
    execute: args => workbench.inserter.newNotebook(typeof args['cwd'] === 'string' ? args['cwd'] : '', '%%sql\n')
  });
  add(CommandIDs.insertCell, {
    label: 'Insert a SQL Cell',
    isEnabled: () => workbench.notebooks?.currentWidget !== null,
    execute: () => workbench.inserter.cell('%%sql\n')
  });
  add(CommandIDs.refresh, {
    label: 'Refresh the Catalog',
    execute: async () => (await panel.sections()).tree.refreshAll()
  });
  add(CommandIDs.stopAll, {
    label: 'Stop All My Queries',
    caption: 'In every kernel, here and at the sources',
    execute: async () => {
      await workbench.runs.now();
      await workbench.stopAll();
    }
  });
  add(CommandIDs.publish, {
    label: 'Publish This Notebook as a Dashboard',
    caption: 'Publish this notebook as a dashboard, and open it as others see it',
    icon: dashboardIcon,
    isEnabled: () => !!workbench.notebooks?.currentWidget,
    execute: async () => {
      const panel = workbench.notebooks?.currentWidget;
      if (panel) {
        await publishNotebook(workbench, panel);
      }
    }
  });
  add(CommandIDs.demo, {
    label: args => (args['isLauncher'] ? 'Demo dashboard' : 'Open the Dashboard of the Demo Shop'),
    caption: 'Publishes the dashboard of the demo shop, and opens it as others see it',
    icon: dashboardIcon,
    describedBy: { args: { type: 'object', properties: { isLauncher: { type: 'boolean' } } } },
    execute: () => openDemo(workbench)
  });
}
