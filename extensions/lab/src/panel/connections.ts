import { Dialog, showDialog } from '@jupyterlab/apputils';
import { deleteIcon, editIcon, runIcon } from '@jupyterlab/ui-components';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import { Client, reason } from '../client';
import { h, iconButton, replace } from '../dom';
import { iconOf } from '../icon';
import type { Connection, Connector } from '../wire';

const STALE = 5_000;

type State = { kind: 'wait' | 'good' | 'bad'; text: string };

/** What is saved, with what is known of each kind. Shared by the sections and the SQL cells. */
export class Connections {
  constructor(readonly client: Client) {}

  readonly changed = new Signal<this, void>(this);
  /** A connection is another one now, or gone. */
  readonly replaced = new Signal<this, string>(this);
  all: Connection[] = [];
  connectors: Connector[] = [];
  problem = '';
  loaded = false;

  async refresh(): Promise<void> {
    const before = JSON.stringify([this.all, this.problem, this.loaded]);
    this.asked = Date.now();
    try {
      if (this.connectors.length === 0) {
        this.connectors = await this.client.connectors();
      }
      this.all = await this.client.connections();
      this.problem = '';
    } catch (error) {
      this.problem = reason(error);
    }
    this.loaded = true;
    if (JSON.stringify([this.all, this.problem, this.loaded]) !== before) {
      this.changed.emit();
    }
  }

  /** Notebooks and terminals make connections, too: asks again where the last time is a while ago. */
  async freshen(): Promise<void> {
    if (Date.now() - this.asked > STALE) {
      await this.refresh();
    }
  }

  connectorOf(connection: Connection): Connector | undefined {
    return this.connectors.find(one => one.name === connection.connector);
  }

  icon(connection: Connection): HTMLElement {
    return iconOf(this.connectorOf(connection));
  }

  /** Opens the form, for a new one with that kind chosen; true when something was saved. */
  async edit(before: Connection | null, kind = ''): Promise<boolean> {
    if (this.connectors.length === 0) {
      await this.refresh();
    }
    const { ConnectionDialog } = await import('./dialog');
    const answer = await new ConnectionDialog(this.client, this.connectors, before, kind).launch();
    if (answer.button.accept) {
      await this.refresh();
      this.replaced.emit(before?.name ?? '');
    }
    return answer.button.accept;
  }

  async remove(connection: Connection): Promise<void> {
    const answer = await showDialog({
      title: 'Remove connection',
      body: `${connection.name} and the password that is kept for it are forgotten. Nothing happens to ${connection.where}.`,
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Remove' })],
      defaultButton: 0
    });
    if (answer.button.accept) {
      await this.client.remove(connection.name);
      await this.refresh();
      this.replaced.emit(connection.name);
    }
  }

  private asked = 0;
}

/** The list of connections: what each is, whether it answers, and what can be done with it. */
export class ConnectionsView extends Widget {
  constructor(private readonly model: Connections) {
    super();
    this.addClass('wb-Connections');
    model.changed.connect(() => this.update());
    this.update();
  }

  protected onUpdateRequest(): void {
    const { all, problem, loaded } = this.model;
    if (problem) {
      replace(this.node, h('p', { class: 'wb-Problem', role: 'alert' }, problem));
    } else if (!loaded) {
      replace(this.node, h('p', { class: 'wb-Empty' }, 'Loading…'));
    } else if (all.length === 0) {
      const add = h('button', { type: 'button', class: 'jp-mod-styled jp-mod-accept', click: () => void this.model.edit(null) }, 'Add a connection');
      replace(this.node, h('div', { class: 'wb-Empty' }, h('p', {}, 'No connections yet.'), add));
    } else {
      const focused = this.node.contains(document.activeElement) ? document.activeElement?.getAttribute('data-key') : null;
      replace(this.node, h('ul', { class: 'wb-List', 'aria-label': 'Connections' }, ...all.map(one => this.line(one))));
      if (this.shownAt) {
        this.node.querySelector(`[data-connection="${CSS.escape(this.shownAt)}"]`)?.scrollIntoView({ block: 'nearest' });
        this.shownAt = '';
      }
      if (focused) {
        this.node.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
      }
    }
  }

  private line(one: Connection): HTMLElement {
    const state: State | undefined = one.problem ? { kind: 'bad', text: one.problem } : this.states.get(one.name);
    const label = this.model.connectorOf(one)?.label ?? one.connector;
    const key = (action: string) => ({ 'data-key': `${action} ${one.name}` });
    return h(
      'li',
      { class: 'wb-Item', 'data-connection': one.name },
      this.model.icon(one),
      h(
        'div',
        { class: 'wb-Item-text' },
        h('div', { class: 'wb-Item-name' }, one.name, one.writable ? h('span', { class: 'wb-Tag' }, 'writes') : null),
        h('div', { class: 'wb-Item-about', title: `${label} · ${one.where}` }, `${label} · ${one.where}`),
        state ? h('div', { class: 'wb-State', 'data-kind': state.kind, role: 'status' }, state.text) : null
      ),
      h(
        'div',
        { class: 'wb-Item-actions' },
        iconButton(runIcon, `Test ${one.name}`, () => void this.test(one), key('test')),
        iconButton(editIcon, `Edit ${one.name}`, () => void this.edit(one), key('edit')),
        iconButton(deleteIcon, `Remove ${one.name}`, () => void this.remove(one), key('remove'))
      )
    );
  }

  private async test(one: Connection): Promise<void> {
    this.say(one.name, { kind: 'wait', text: 'Connecting…' });
    try {
      const found = await this.model.client.test(one.name);
      this.say(one.name, { kind: 'good', text: `Connected: ${found.product} ${found.version}` });
    } catch (error) {
      this.say(one.name, { kind: 'bad', text: reason(error) });
    }
  }

  private async edit(one: Connection): Promise<void> {
    if (await this.model.edit(one)) {
      this.states.delete(one.name);
      this.update();
    }
  }

  private async remove(one: Connection): Promise<void> {
    try {
      await this.model.remove(one);
      this.states.delete(one.name);
    } catch (error) {
      this.say(one.name, { kind: 'bad', text: reason(error) });
    }
  }

  private say(name: string, state: State): void {
    this.states.set(name, state);
    this.shownAt = name;
    this.update();
  }

  private readonly states = new Map<string, State>();
  private shownAt = ''; // whose state has just changed
}
