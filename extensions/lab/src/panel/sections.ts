import { addIcon, collapseAllIcon, LabIcon, PanelWithToolbar, refreshIcon, stopIcon } from '@jupyterlab/ui-components';
import { Message } from '@lumino/messaging';
import { Panel, Widget } from '@lumino/widgets';

import type { Workbench } from '../workbench';
import { CatalogView } from './catalog';
import { ConnectionsView } from './connections';
import { cellFor, written } from './drag';
import { HistoryView } from './history';
import { RunningView } from './running';
import { Tree } from './tree';
import { addTreeCommands } from './treecommands';
import type { RowActions } from './treerow';
import { h, iconButton } from '../dom';

/** The three sections of the panel. */
export class Sections {
  constructor(workbench: Workbench) {
    const { connections, runs, inserter } = workbench;
    this.tree = new Tree(connections);
    const actions: RowActions = {
      insertName: row => void (row.kind === 'table' ? inserter.nameOrCell(written(row), cellFor(row)) : inserter.name(written(row))),
      insertCell: row => void inserter.cell(cellFor(row)),
      sample: row => void workbench.sample(row.connection, row.schema, row.table!.name),
      refresh: row => void this.tree.refresh(row),
      retry: row => this.tree.retry(row)
    };
    this.catalog = new CatalogView(connections, this.tree, actions);
    addTreeCommands(workbench.app.commands, this.catalog, actions);
    const history = new HistoryView(runs, cell => void inserter.cell(cell));
    this.widgets = [
      section('Connections', [new ConnectionsView(connections)], [
        [addIcon, 'Add a connection', () => void connections.edit(null)],
        [refreshIcon, 'Look again which connections there are', () => void connections.refresh()]
      ]),
      section('Catalog', [this.catalog], [
        [refreshIcon, 'Ask all sources again', () => void this.tree.refreshAll()],
        [collapseAllIcon, 'Fold all up', () => this.tree.foldAll()]
      ]),
      section('Running', [new Watched(workbench, history), new RunningView(runs, cell => void inserter.cell(cell)), heading('History'), history], [
        [stopIcon, 'Stop all my queries', () => void workbench.stopAll()],
        [refreshIcon, 'Look again what runs', () => (runs.hurry(), void history.refresh())]
      ])
    ];
    void connections.refresh();
  }

  readonly catalog: CatalogView;
  readonly tree: Tree;
  readonly widgets: Widget[];
}

function section(label: string, content: Widget[], buttons: [LabIcon, string, () => void][]): PanelWithToolbar {
  const panel = new PanelWithToolbar();
  panel.addClass('wb-Section');
  panel.title.label = label;
  content.forEach(widget => panel.addWidget(widget));
  buttons.forEach(([icon, label, action]) => panel.toolbar.addItem(label, new Widget({ node: iconButton(icon, label, action) })));
  panel.toolbar.node.setAttribute('aria-label', label);
  return panel;
}

function heading(text: string): Widget {
  return new Widget({ node: h('h4', { class: 'wb-Heading' }, text) });
}

/** Sees to it that figures come each second while the section is in sight, and that the history is up to date then. */
class Watched extends Panel {
  constructor(private readonly workbench: Workbench, private readonly history: HistoryView) {
    super();
    this.addClass('wb-mod-none');
  }

  protected onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    this.look();
  }

  protected onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this.look();
  }

  protected onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    this.look();
  }

  private look(): void {
    this.workbench.runs.watched = this.isVisible;
    if (this.isVisible) {
      void this.workbench.connections.freshen();
      void this.history.refresh();
    }
  }
}
