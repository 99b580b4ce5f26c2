import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import type { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';

import { addCommands, CommandIDs } from './commands';
import { WorkbenchPanel } from './panel/panel';
import { followSettings } from './settings';
import { offerDemo } from './share';
import { addStatus } from './status';
import { IWorkbench } from './tokens';
import { Workbench } from './workbench';

/**
 * The panel, the commands, the launcher's card and the line in the status bar. Each of Lab's own tokens is optional:
 * one bundle loads in Lab, in Notebook 7 and on a Voila page, where some of them are missing.
 */
export const workbenchPlugin: JupyterFrontEndPlugin<Workbench> = {
  id: 'analytics-workbench:plugin',
  description: 'Connections, catalog and what runs in a side panel',
  autoStart: true,
  provides: IWorkbench,
  optional: [INotebookTracker, ILayoutRestorer, ICommandPalette, IStateDB, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    kept: IStateDB | null,
    settings: ISettingRegistry | null
  ): Workbench => {
    const workbench = new Workbench(app, notebooks);
    if (notebooks === null && palette === null) {
      return workbench; // a dashboard's page: there is nothing to open a panel in
    }
    const panel = new WorkbenchPanel(async () => {
      const { Sections } = await import('./panel/sections');
      return new Sections(workbench);
    }, kept);
    app.shell.add(panel, 'left', { rank: 150, type: 'Workbench' });
    restorer?.add(panel, panel.id);
    addCommands(workbench, panel, palette);
    void addToLab(workbench);
    void followSettings(settings);
    // What runs is first asked for when Lab is there, so that its start does not wait for it.
    void app.restored.then(() => {
      workbench.runs.begin();
      void offerDemo(workbench, CommandIDs.demo);
    });
    return workbench;
  }
};

/**
 * What only Lab has. These two modules are asked for here and not above, because a page that does not have them would
 * refuse the whole bundle for an import of theirs.
 */
async function addToLab(workbench: Workbench): Promise<void> {
  const { app } = workbench;
  const [launching, status] = await Promise.allSettled([import('@jupyterlab/launcher'), import('@jupyterlab/statusbar')]);
  if (launching.status === 'fulfilled') {
    const launcher = await app.resolveOptionalService(launching.value.ILauncher);
    launcher?.add({ command: CommandIDs.newNotebook, category: 'Notebook', rank: 1, args: { isLauncher: true } });
    launcher?.add({ command: CommandIDs.demo, category: 'Other', rank: 0, args: { isLauncher: true } });
    if (launcher) {
      void app.restored.then(() => addKinds(workbench, launcher));
    }
  }
  if (status.status === 'fulfilled') {
    const bar = await app.resolveOptionalService(status.value.IStatusBar);
    if (bar) {
      addStatus(workbench, bar);
    }
  }
}

/** A card for each kind of source that can be connected. */
async function addKinds(workbench: Workbench, launcher: ILauncher): Promise<void> {
  await workbench.connections.refresh();
  workbench.connections.connectors.forEach(({ name }, rank) =>
    launcher.add({ command: CommandIDs.addConnection, category: 'Connect', rank, args: { connector: name } })
  );
}
