import { Notification } from '@jupyterlab/apputils';
import type { CodeCell, ICodeCellModel } from '@jupyterlab/cells';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { OutputArea } from '@jupyterlab/outputarea';
import { KernelMessage } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';

import type { Workbench } from '../workbench';
import { explained } from './magic';
import { runsNow } from './marks';

/** Which request each kernel works on now: of the cells that show `[*]` all but one only wait. */
export class Executing {
  constructor(private readonly notebooks: INotebookTracker) {
    notebooks.forEach(panel => this.follow(panel));
    notebooks.widgetAdded.connect((_, panel) => this.follow(panel));
  }

  readonly changed = new Signal<this, void>(this);

  isExecuting(model: ICodeCellModel): boolean {
    const found = cellOf(this.notebooks, model);
    const request = found?.cell.outputArea.future?.msg.header.msg_id;
    return found !== null && request !== undefined && this.requests.get(found.panel) === request;
  }

  private follow(panel: NotebookPanel): void {
    panel.sessionContext.iopubMessage.connect((_, message) => {
      const parent = message.parent_header as Partial<KernelMessage.IHeader>;
      if (KernelMessage.isExecuteInputMsg(message)) {
        this.set(panel, parent.msg_id);
      } else if (KernelMessage.isStatusMsg(message) && message.content.execution_state === 'idle' && this.requests.get(panel) === parent.msg_id) {
        this.set(panel, undefined);
      }
    });
    panel.sessionContext.kernelChanged.connect(() => this.set(panel, undefined));
    panel.disposed.connect(() => this.requests.delete(panel));
  }

  private set(panel: NotebookPanel, request: string | undefined): void {
    if (request === undefined) {
      this.requests.delete(panel);
    } else {
      this.requests.set(panel, request);
    }
    this.changed.emit();
  }

  private readonly requests = new Map<NotebookPanel, string>();
}

export function cellOf(notebooks: INotebookTracker | null, model: ICodeCellModel): { panel: NotebookPanel; cell: CodeCell } | null {
  let found: { panel: NotebookPanel; cell: CodeCell } | null = null;
  notebooks?.forEach(panel => {
    const cell = found ? undefined : panel.content.widgets.find(one => one.model === model);
    if (cell) {
      found = { panel, cell: cell as CodeCell };
    }
  });
  return found;
}

/** Shows below the cell what each source would be asked. The cell's own text stays as it is. */
export async function explain(workbench: Workbench, model: ICodeCellModel): Promise<void> {
  const found = cellOf(workbench.notebooks, model);
  if (!found) {
    return;
  }
  const { panel, cell } = found;
  await panel.sessionContext.ready;
  if (!panel.sessionContext.session?.kernel) {
    Notification.warning('This notebook has no kernel: choose one, then press Explain again.');
    return;
  }
  runsNow(model);
  const code = explained(model.sharedModel.getSource());
  await OutputArea.execute(code, cell.outputArea, panel.sessionContext, { cellId: model.id }).catch(() => {
    // The kernel was restarted, or the output cleared, before it answered.
  });
}

/** Stops what the cell runs, here and at the sources; a cell that only waits is left alone. */
export function stop(workbench: Workbench, model: ICodeCellModel): void {
  void cellOf(workbench.notebooks, model)?.panel.sessionContext.session?.kernel?.interrupt();
}
