import { Dialog, showDialog } from '@jupyterlab/apputils';

/** Whether somebody wants a part of a result, of which the other rows are still coming. */
export async function agreed(words: string): Promise<boolean> {
  const answer = await showDialog({
    title: 'The query still runs',
    body: `Export what is here now: ${words}? For all rows, wait until the query is done.`,
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: 'Export' })]
  });
  return answer.button.accept;
}

/** The file's name, without its suffix; one that has not all rows says so. */
export function fileName(id: string, whole: boolean, of: number): string {
  return `result-${id.slice(0, 6)}${whole ? '' : `-of-the-first-${of}-rows`}`;
}

export function download(address: string, name: string): void {
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
}
