import { Clipboard, Notification } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import type { NotebookPanel } from '@jupyterlab/notebook';

import { reason } from './client';
import type { Workbench } from './workbench';
import type { Published } from './wire';

const WAITING = 'Publishing… The dashboard opens here in a moment.';

/** Publishes the notebook as it is now, and opens it as its viewers see it. */
export async function publishNotebook(workbench: Workbench, panel: NotebookPanel): Promise<void> {
  await opened(async () => {
    await panel.context.save();
    return workbench.client.publish(panel.context.localPath);
  });
}

export async function openDemo(workbench: Workbench): Promise<void> {
  await opened(() => workbench.client.publishDemo());
}

/** To be called on a click: the tab is opened before anything is waited for, else browsers take it for a pop-up. */
async function opened(publish: () => Promise<Published>): Promise<void> {
  const tab = window.open('', '_blank');
  if (tab) {
    tab.opener = null; // what the notebook shows there has no way back into Lab
    tab.document.title = 'Publishing…';
    tab.document.body.textContent = WAITING;
    tab.document.body.style.font = '16px system-ui, sans-serif';
  }
  const said = Notification.emit(WAITING, 'in-progress', { autoClose: false });
  try {
    const made = await publish();
    tab?.location.replace(made.link);
    Notification.update({
      id: said,
      type: 'success',
      message: `“${made.title}” is published. Whoever has its link can look at it, and at your other dashboards, on this machine.`,
      autoClose: false, // the link is nowhere else in Lab
      actions: [
        { label: 'Copy the link', callback: () => Clipboard.copyToSystem(made.link) },
        ...(tab ? [] : [{ label: 'Open', callback: () => void window.open(made.link, '_blank', 'noopener') }])
      ]
    });
  } catch (error) {
    tab?.close();
    Notification.update({ id: said, type: 'error', message: `It was not published. ${reason(error)}`, autoClose: false });
  }
}

/** On the first start with a new demo shop: one click from there to its dashboard. */
export async function offerDemo(workbench: Workbench, command: string): Promise<void> {
  if (PageConfig.getOption('workbenchNewDemo') !== 'true' || (await workbench.client.dashboards()).length > 0) {
    return;
  }
  Notification.info('The demo shop is ready.', {
    autoClose: false,
    actions: [
      {
        label: 'Open its dashboard',
        displayType: 'accent',
        callback: () => void workbench.app.commands.execute(command)
      }
    ]
  });
}
