import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';

import { Client, reason } from './client';
import { Inserter } from './insert';
import { Connections } from './panel/connections';
import { Runs } from './runs';

/** What the parts of the extension share. */
export class Workbench {
  constructor(readonly app: JupyterFrontEnd, readonly notebooks: INotebookTracker | null) {
    this.client = new Client(app.serviceManager.serverSettings);
    this.connections = new Connections(this.client);
    this.runs = new Runs(this.client);
    this.inserter = new Inserter(app, notebooks);
  }

  /** Opens the first rows of a table in a tab. */
  async sample(connection: string, schema: string | null, name: string): Promise<void> {
    const { openSample } = await import('./sample/sample');
    await openSample(this, connection, schema, name);
  }

  /** Stops all that runs, in every kernel of this user. */
  async stopAll(): Promise<void> {
    const results = await Promise.allSettled(this.runs.active.map(run => this.runs.stop(run.id)));
    const failed = results.find(result => result.status === 'rejected');
    if (failed) {
      Notification.error(`Not everything was stopped. ${reason((failed as PromiseRejectedResult).reason)}`);
    }
  }

  readonly client: Client;
  readonly connections: Connections;
  readonly runs: Runs;
  readonly inserter: Inserter;
}
