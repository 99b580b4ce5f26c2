import type { ICodeCellModel } from '@jupyterlab/cells';
import { Extension, StateEffect, StateField } from '@codemirror/state';
import { Decoration, DecorationSet, EditorView, ViewPlugin } from '@codemirror/view';

import { placeIn } from './magic';

const PLACE = /\(line (\d+), column (\d+)\)/;
/** What is underlined from the place on: a name with its dots, a number, or one sign. */
const PIECE = /(?:"(?:[^"]|"")*"|[\p{L}\p{N}_$]+)(?:\.(?:"(?:[^"]|"")*"|[\p{L}\p{N}_$]+))*|\S/uy;

interface Mark {
  from: number;
  to: number;
  message: string;
}

const setMark = StateEffect.define<Mark | null>();

const field = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    let now = transaction.docChanged ? Decoration.none : marks; // what is edited is not what was refused any more
    for (const effect of transaction.effects) {
      if (effect.is(setMark)) {
        now = effect.value ? Decoration.set(decoration(effect.value)) : Decoration.none;
      }
    }
    return now;
  },
  provide: marks => EditorView.decorations.from(marks)
});

function decoration({ from, to, message }: Mark) {
  return Decoration.mark({ class: 'wb-Fault', attributes: { title: message } }).range(from, to);
}

/** Of one cell; it outlives its editors, which Lab makes anew whenever the cell is scrolled into sight. */
class CellFaults {
  constructor(private readonly model: ICodeCellModel) {
    model.stateChanged.connect((_, change) => {
      if (change.name === 'executionState' && model.executionState === 'running') {
        this.runs();
      }
    });
    model.outputs.changed.connect(() => this.set(this.found()));
    model.sharedModel.changed.connect((_, change) => {
      if (change.sourceChange) {
        this.mark = null;
      }
    });
  }

  /** The text is on its way to the kernel: an error that comes is about it as it is now. */
  runs(): void {
    this.asked = this.model.sharedModel.getSource();
  }

  mark: Mark | null = null;
  readonly views = new Set<EditorView>();

  private set(mark: Mark | null): void {
    if (mark?.from !== this.mark?.from || mark?.message !== this.mark?.message) {
      this.mark = mark;
      this.views.forEach(view => view.dispatch({ effects: setMark.of(mark) }));
    }
  }

  private found(): Mark | null {
    const source = this.model.sharedModel.getSource();
    const { outputs } = this.model;
    for (let place = outputs.length - 1; place >= 0; place--) {
      const output = outputs.get(place).toJSON();
      if (output.output_type === 'error') {
        const text = String(output.evalue);
        const at = PLACE.exec(text);
        const edited = this.asked !== null && this.asked !== source;
        return at && !edited ? markAt(source, placeIn(source, Number(at[1]), Number(at[2])), text) : null;
      }
    }
    return null;
  }

  private asked: string | null = null;
}

function markAt(source: string, from: number | null, message: string): Mark | null {
  if (from === null) {
    return null;
  }
  PIECE.lastIndex = from;
  const length = PIECE.exec(source)?.[0].length ?? 0;
  // At the end of a line there is nothing to underline but what comes before.
  return length > 0 ? { from, to: from + length, message } : from > 0 ? { from: from - 1, to: from, message } : null;
}

const known = new WeakMap<ICodeCellModel, CellFaults>();

/** For a text that is sent by another way than running the cell. */
export function runsNow(model: ICodeCellModel): void {
  known.get(model)?.runs();
}

/** Underlines the place that the error below the cell names, until the cell is edited or run again. */
export function faultMarks(model: ICodeCellModel): Extension {
  let faults = known.get(model);
  if (faults === undefined) {
    faults = new CellFaults(model);
    known.set(model, faults);
  }
  const cell = faults;
  const watch = ViewPlugin.define(view => {
    cell.views.add(view);
    return { destroy: () => cell.views.delete(view) };
  });
  // The text of a cell comes into its editor after this, and would take a mark away that is set at once.
  const again = ViewPlugin.define(view => {
    const frame = requestAnimationFrame(() => {
      const { mark } = cell;
      if (mark && mark.to <= view.state.doc.length) {
        view.dispatch({ effects: setMark.of(mark) });
      }
    });
    return { destroy: () => cancelAnimationFrame(frame) };
  });
  return [field, watch, again];
}
