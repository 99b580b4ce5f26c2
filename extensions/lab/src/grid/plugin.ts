import { ILabShell, ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { IStateDB } from '@jupyterlab/statedb';
import { spreadsheetIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';

import { Conditions, ResultApi, Shown } from './api';
import { MIME, ResultOutput, shownOf } from './output';

const OPEN = 'workbench:open-result';

/** Results as grids: in the outputs of notebooks, and in tabs. */
export const grids: JupyterFrontEndPlugin<void> = {
  id: 'analytics-workbench:grids',
  description: 'Results as grids, in notebooks and in tabs',
  autoStart: true,
  optional: [IRenderMimeRegistry, IStateDB, ILabShell, ILayoutRestorer, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry | null,
    state: IStateDB | null,
    shell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null
  ) => {
    let last: Shown | null = null; // the result in a notebook that somebody turned to
    const open = (shown: Shown, conditions: Conditions) => void app.commands.execute(OPEN, { ...shown, conditions } as never);
    if (rendermime) {
      const placeOf = (shown: Shown) => ({
        inNotebook: true,
        state,
        tab: shell ? (conditions: Conditions) => open(shown, conditions) : undefined,
        turned: () => (last = shown)
      });
      rendermime.addFactory(
        // Safe: it shows nothing of what the notebook brings along but names and numbers, as text.
        { safe: true, mimeTypes: [MIME], createRenderer: () => new ResultOutput(placeOf, rendermime) },
        20
      );
    }
    if (!shell) {
      return; // Notebook 7 has one place for documents, and a notebook is in it
    }
    const tracker = new WidgetTracker<MainAreaWidget>({ namespace: 'workbench-results' });
    const args = new Map<Widget, Shown & { conditions?: Conditions }>();
    app.commands.addCommand(OPEN, {
      label: 'Open Result in a Tab',
      caption: 'Open the result that was looked at last in a tab of its own',
      isEnabled: given => shownOf(given) !== null || last !== null,
      execute: async given => {
        const shown = shownOf(given) ?? last;
        if (shown === null) {
          return;
        }
        const there = tracker.find(widget => args.get(widget)?.id === shown.id);
        if (there) {
          shell.activateById(there.id);
          return;
        }
        const { GridView } = await import('./view');
        const conditions = given.conditions as unknown as Conditions | undefined;
        const content = new GridView(new ResultApi(shown.id), shown, { inNotebook: false, state }, conditions);
        const widget = new MainAreaWidget({ content });
        widget.toolbar.hide();
        widget.id = `workbench-result-${shown.id}`;
        const names = shown.columns.map(({ name }) => name).join(', ');
        widget.title.label = `Result: ${names.slice(0, 24)}${names.length > 24 ? '…' : ''}`;
        widget.title.caption = names.slice(0, 200);
        widget.title.icon = spreadsheetIcon;
        widget.title.closable = true;
        args.set(widget, { ...shown, conditions });
        widget.disposed.connect(() => args.delete(widget));
        await tracker.add(widget);
        shell.add(widget, 'main', { mode: 'split-bottom' });
      }
    });
    if (restorer) {
      void restorer.restore(tracker, { command: OPEN, args: widget => ({ ...args.get(widget) }) as never, name: widget => widget.id });
    }
    palette?.addItem({ command: OPEN, category: 'Workbench' });
  }
};
