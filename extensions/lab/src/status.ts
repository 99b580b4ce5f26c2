import type { IStatusBar } from '@jupyterlab/statusbar';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import type { Run } from './api';
import { CommandIDs } from './commands';
import { h, replace } from './dom';
import type { Workbench } from './workbench';

/** How many queries and topologies run. What a topology asks its source for is its own. */
function told(runs: readonly Run[]): string {
  const topologies = runs.filter(run => run.kind === 'topology').length;
  const queries = runs.filter(run => run.kind !== 'topology' && run.kind !== 'poll').length;
  const some = [
    queries ? `${queries} ${queries === 1 ? 'query' : 'queries'}` : '',
    topologies ? `${topologies} ${topologies === 1 ? 'topology' : 'topologies'}` : ''
  ].filter(Boolean);
  return some.length ? `${some.join(' and ')} ${queries + topologies === 1 ? 'runs' : 'run'}` : '';
}

/** What runs, in numbers, while something does. */
export function addStatus(workbench: Workbench, bar: IStatusBar): void {
  const open = (): void => void workbench.app.commands.execute(CommandIDs.open);
  const button = h('button', { type: 'button', class: 'wb-Status', title: 'Open the list of what runs', click: open });
  const shown = new Signal<object, void>({});
  let before = '';
  workbench.runs.changed.connect(runs => {
    const text = told(runs.active);
    if (text !== before) {
      before = text;
      replace(button, text);
      shown.emit();
    }
  });
  bar.registerStatusItem('analytics-workbench:running', {
    item: new Widget({ node: h('div', { class: 'wb-Status-item' }, button) }),
    align: 'left',
    rank: 20,
    isActive: () => before !== '',
    activeStateChanged: shown
  });
}
