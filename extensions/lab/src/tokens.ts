import { Token } from '@lumino/coreutils';

import type { Workbench } from './workbench';

/** What the plugins of the workbench share, for others to build on. */
export const IWorkbench = new Token<Workbench>(
  'analytics-workbench:IWorkbench',
  'The connections, what runs, and the way into notebooks.'
);
