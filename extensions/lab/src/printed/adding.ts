import type { IOutput } from '@jupyterlab/nbformat';
import type { IOutputModel } from '@jupyterlab/rendermime';
import type { Widget } from '@lumino/widgets';

/** Lab's model of a cell's outputs, with what of it is private. */
interface Outputs {
  readonly length: number;
  get(place: number): IOutputModel;
  add(output: IOutput): number;
  shouldCombine(options: { value: IOutput; lastModel: IOutputModel }): boolean;
  clearNext: boolean;
  _lastStreamName: string;
  _streamIndex: number;
}

const BACK = /[\b\r]/;
const done = new WeakSet<object>();

/**
 * Lab compares all that a cell has printed, character by character, to find what a message adds to it. From here on a
 * message that only adds is added; all others, and all where Lab is not as it is known here, go Lab's way.
 */
export function addAtTheEnd(renderer: Widget): void {
  const outputs = (renderer.parent?.parent as { model?: Outputs } | null | undefined)?.model;
  if (!outputs || done.has(outputs) || typeof outputs.shouldCombine !== 'function') {
    return;
  }
  done.add(outputs);
  const lab = outputs.add.bind(outputs);
  outputs.add = output => {
    const last = outputs.length ? outputs.get(outputs.length - 1) : undefined;
    const text = last?.streamText;
    const more = output.text;
    if (
      !text ||
      !last ||
      output.output_type !== 'stream' ||
      output.name !== outputs._lastStreamName ||
      typeof more !== 'string' ||
      more === '' ||
      BACK.test(more) ||
      outputs._streamIndex !== text.text.length || // the place that is printed at
      outputs.clearNext !== false ||
      !outputs.shouldCombine({ value: output, lastModel: last })
    ) {
      return lab(output);
    }
    text.insert(text.text.length, more);
    outputs._streamIndex = text.text.length;
    return outputs.length;
  };
}
