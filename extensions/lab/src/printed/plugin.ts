import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';

import { drawingNews } from './following';

const PRINTED = ['application/vnd.jupyter.stdout', 'application/vnd.jupyter.stderr'];

/** What cells print, drawn as it comes. */
export const printed: JupyterFrontEndPlugin<void> = {
  id: 'analytics-workbench:printed',
  description: 'Long printed outputs are drawn as they come, not whole for every message',
  autoStart: true,
  optional: [IRenderMimeRegistry],
  activate: (_app: JupyterFrontEnd, rendermime: IRenderMimeRegistry | null) => {
    for (const type of rendermime ? PRINTED : []) {
      const lab = rendermime!.getFactory(type);
      if (lab) {
        const createRenderer = (options: IRenderMime.IRendererOptions) => {
          const renderer = lab.createRenderer(options);
          return renderer.hasClass('jp-RenderedText') ? drawingNews(renderer, options) : renderer;
        };
        rendermime!.addFactory({ safe: lab.safe, mimeTypes: [type], createRenderer }, rendermime!.getRank(type));
      }
    }
  }
};
