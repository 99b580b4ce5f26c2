import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { setInsertedRows } from './names';
import { settings as printing } from './printed/following';

const PLUGIN = 'analytics-workbench:plugin';

/** Takes the user's settings over, and each change of them. */
export async function followSettings(registry: ISettingRegistry | null): Promise<void> {
  if (registry === null) {
    return;
  }
  const settings = await registry.load(PLUGIN);
  const take = (): void => {
    setInsertedRows(settings.get('insertedRows').composite as number);
    printing.on = settings.get('longOutputs').composite !== false;
    document.body.toggleAttribute('data-wb-no-strip', settings.get('sqlStrip').composite === false);
  };
  settings.changed.connect(take);
  take();
}
