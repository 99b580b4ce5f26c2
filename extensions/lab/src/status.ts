import type { IStatusBar } from '@jupyterlab/statusbar';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import { CommandIDs } from './commands';
import { h, replace } from './dom';
import type { Workbench } from './workbench';

/** How many queries run, while some do. */
export function addStatus(workbench: Workbench, bar: IStatusBar): void {
  const open = (): void => void workbench.app.commands.execute(CommandIDs.open);
  const button = h('button', { type: 'button', class: 'wb-Status', title: 'Open the list of queries that run', click: open });
  const shown = new Signal<object, void>({});
  let before = 0;
  workbench.runs.changed.connect(runs => {
    const count = runs.active.length;
    if (count !== before) {
      before = count;
      replace(button, count === 1 ? '1 query runs' : `${count} queries run`);
      shown.emit();
    }
  });
  bar.registerStatusItem('analytics-workbench:running', {
    item: new Widget({ node: h('div', { class: 'wb-Status-item' }, button) }),
    align: 'left',
    rank: 20,
    isActive: () => before > 0,
    activeStateChanged: shown
  });
}
