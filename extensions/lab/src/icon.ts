import { folderIcon, LabIcon } from '@jupyterlab/ui-components';

import { picture } from './dom';
import type { Connector } from './wire';

function icon(name: string, path: string): LabIcon {
  const picture = `<path class="jp-icon3" fill="#616161" fill-rule="evenodd" d="${path}"/>`;
  const svgstr = `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">${picture}</svg>`;
  return new LabIcon({ name: `analytics-workbench:${name}`, svgstr });
}

/** A table whose rows come from several places. */
export const workbenchIcon = icon('icon', 'M3 4h8v3.5H3zM13 4h8v3.5h-8zM3 10h18v3H3zM3 15h18v2H3zM3 19h18v2H3z');

/** A source that shows no picture of its own. */
export const sourceIcon = icon(
  'source',
  'M12 2c5 0 8 1.4 8 3.2S17 8.4 12 8.4 4 7 4 5.2 7 2 12 2zM4 7.8c1.6 1.3 4.6 1.9 8 1.9s6.4-.6 8-1.9V12' +
    'c0 1.8-3 3.2-8 3.2S4 13.8 4 12zM4 14.6c1.6 1.3 4.6 1.9 8 1.9s6.4-.6 8-1.9v4.2c0 1.8-3 3.2-8 3.2s-8-1.4-8-3.2z'
);

export const tableIcon = icon('table', 'M3 4h18v16H3zM5 9v3h6V9zm8 0v3h6V9zm-8 5v4h6v-4zm8 0v4h6v-4z');
export const viewIcon = icon('view', 'M3 4h18v16H3zM5 9v9h14V9z');
export const schemaIcon = icon('schema', 'M4 3h10v4H4zM8 7h2v4h10v4H10v4h10v4H8zM12 13v0z');

export const dashboardIcon = icon('dashboard', 'M3 3h8v6H3zM13 3h8v10h-8zM3 11h8v10H3zM13 15h8v6h-8z');
/** A kind of source: its own picture, or the usual one. */
export function iconOf(connector: Connector | undefined): HTMLElement {
  return picture(connector?.icon ?? '', connector?.folders ? folderIcon : sourceIcon);
}

/** The same for Lab's own places. The server has let through shapes and colours alone. */
export function kindIcon(connector: Connector): LabIcon {
  const name = `analytics-workbench:kind-${connector.name}`;
  return connector.icon ? new LabIcon({ name, svgstr: connector.icon }) : connector.folders ? folderIcon : sourceIcon;
}
