import { Dialog } from '@jupyterlab/apputils';
import { PanelLayout, Widget } from '@lumino/widgets';

import { Client, reason, Refused } from '../client';
import { h, replace } from '../dom';
import type { Connection, Connector } from '../wire';
import { ConnectionForm } from './form';

const [CANCEL, TEST, SAVE] = [0, 1, 2];

/** Asks for a connection. It stays open until the connection is saved, so a refusal loses nothing that was typed. */
export class ConnectionDialog extends Dialog<void> {
  constructor(client: Client, connectors: Connector[], before: Connection | null, kind = '') {
    const form = new ConnectionForm(connectors, before, kind);
    const said = h('div', { class: 'wb-Form-said', role: 'status', 'aria-live': 'polite' });
    super({
      title: before ? `Connection ${before.name}` : 'Add a connection',
      body: new Body(form, said),
      buttons: [
        Dialog.cancelButton(),
        Dialog.createButton({ label: 'Test', accept: false }),
        Dialog.okButton({ label: 'Save' })
      ],
      defaultButton: SAVE,
      focusNodeSelector: before ? '.wb-Form-row:nth-child(3) input, #wb-form-kind' : '#wb-form-name'
    });
    this.client = client;
    this.before = before;
    this.form = form;
    this.said = said;
    form.chosen = () => replace(said); // it was said of another kind
    this.addClass('wb-ConnectionDialog');
  }

  resolve(index?: number): void {
    const button = index ?? SAVE;
    if (button === CANCEL || this.done) {
      super.resolve(button);
    } else if (!this.busy && this.valid()) {
      void this.work(button);
    }
  }

  private async work(button: number, untested = false): Promise<void> {
    this.busy = true;
    this.say('wait', button === TEST ? 'Connecting…' : 'Saving…');
    try {
      if (button === TEST) {
        // An unsaved body has no secret unless one was typed; `before` tells the server whose kept one to take.
        const found = await this.client.testUnsaved({ ...this.form.body(), ...(this.before && { before: this.before.name }) });
        this.say('good', `Connected: ${found.product} ${found.version}`);
      } else {
        await this.client.save({ ...this.form.body(), ...(untested && { test: false }) }, this.before?.name);
        this.done = true;
        super.resolve(button);
      }
    } catch (error) {
      this.say('bad', reason(error));
      if (error instanceof Refused && error.problem.type === 'NotReplaced') {
        const anyway = (): void => void (!this.busy && this.valid() && this.work(SAVE, true));
        this.said.append(' ', h('button', { type: 'button', class: 'jp-mod-styled wb-Form-anyway', click: anyway }, 'Save anyway'));
        this.inSight();
      }
    } finally {
      this.busy = false;
    }
  }

  private valid(): boolean {
    const missing = this.node.querySelector<HTMLInputElement>(':invalid');
    missing?.reportValidity();
    return missing === null;
  }

  private say(kind: 'wait' | 'good' | 'bad', text: string): void {
    this.said.dataset.kind = kind;
    replace(this.said, text);
    this.inSight();
  }

  /** Below a long form it would not be seen. */
  private inSight(): void {
    this.said.scrollIntoView({ block: 'nearest' });
  }

  private readonly client: Client;
  private readonly before: Connection | null;
  private readonly form: ConnectionForm;
  private readonly said: HTMLElement;
  private busy = false;
  private done = false;
}

class Body extends Widget {
  constructor(form: ConnectionForm, said: HTMLElement) {
    super();
    const layout = (this.layout = new PanelLayout());
    layout.addWidget(form);
    layout.addWidget(new Widget({ node: said }));
  }
}
