import { codeIcon, stopIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';

import { reason } from '../client';
import { duration, grouped, h, iconButton, replace } from '../dom';
import type { Runs } from '../runs';
import type { Run } from '../wire';

const TOPOLOGY = 'topology';

/** Queries and topologies that run now, in whichever kernel or program of this user, each with its Stop. */
export class RunningView extends Widget {
  constructor(private readonly runs: Runs, private readonly insert: (cell: string) => void) {
    super();
    this.addClass('wb-Running');
    this.node.append(this.said, this.list);
    runs.changed.connect(() => this.update());
    this.update();
  }

  protected onUpdateRequest(): void {
    const { active, problem } = this.runs;
    replace(this.said, problem || (active.length ? '' : 'Nothing runs.'));
    this.said.className = problem ? 'wb-Problem' : 'wb-Empty';
    this.said.hidden = !problem && active.length > 0;
    this.list.hidden = active.length === 0;
    // Lines stay the same elements while their figures change, so that a click between two polls is a click.
    const before = new Map([...this.lines]);
    this.lines.clear();
    for (const run of active) {
      const line = before.get(run.id) ?? new Line(run, () => void this.stop(run.id), this.insert);
      line.show(run, this.runs.isStopping(run), this.refused.get(run.id) ?? '');
      this.lines.set(run.id, line);
      before.delete(run.id);
      this.list.append(line.node);
    }
    before.forEach((line, id) => {
      line.node.remove();
      this.refused.delete(id);
    });
  }

  private async stop(id: string): Promise<void> {
    try {
      this.refused.delete(id);
      await this.runs.stop(id);
    } catch (error) {
      this.refused.set(id, reason(error));
      this.update();
    }
  }

  private readonly said = h('p', { role: 'status' });
  private readonly list = h('ul', { class: 'wb-List', 'aria-label': 'Running queries' });
  private readonly lines = new Map<string, Line>();
  private readonly refused = new Map<string, string>();
}

class Line {
  constructor(run: Run, stop: () => void, insert: (cell: string) => void) {
    const title = oneLine(run.title);
    this.topology = run.kind === TOPOLOGY;
    const watch = this.topology && iconButton(codeIcon, `Insert a cell that shows ${title}`, () => insert(viewOf(title)));
    this.stop = iconButton(stopIcon, `Stop ${title}`, stop);
    this.node = h(
      'li',
      { class: 'wb-Item wb-Run', 'data-run': run.id },
      h('div', { class: 'wb-Item-text' }, h('div', { class: 'wb-Statement', title: run.title }, title), this.bar, this.figures, this.natives, this.refused),
      h('div', { class: 'wb-Item-actions wb-mod-shown' }, watch || null, this.stop)
    );
    this.bar.setAttribute('aria-label', `Progress of ${title}`);
  }

  show(run: Run, stopping: boolean, refused: string): void {
    this.bar.hidden = this.topology; // it has no end to be on the way to
    if (run.fraction === null) {
      this.bar.removeAttribute('value');
    } else {
      this.bar.value = run.fraction;
    }
    const parts = [
      stopping || run.state === 'stopping' ? 'stopping…' : run.state === 'lost' ? 'its program is gone' : '',
      this.topology ? `${grouped(run.rows)} tuples acked` : `${grouped(run.rows)} rows read`,
      this.topology ? this.rate(run) : '',
      run.fraction === null ? '' : `${Math.floor(run.fraction * 100)} %`,
      duration(run.seconds),
      run.connections.length ? `from ${run.connections.join(', ')}` : ''
    ];
    replace(this.figures, parts.filter(Boolean).join(' · '));
    const natives = run.natives.map(one => `${one.connection}: ${one.native_id}`).join(', ');
    replace(this.natives, natives);
    this.natives.hidden = natives === '';
    this.natives.title = `Work at the source: ${natives}`;
    replace(this.refused, refused);
    this.refused.hidden = refused === '';
    this.stop.disabled = stopping;
  }

  /** Of what came since the figures before. */
  private rate({ rows, seconds }: Run): string {
    if (seconds > this.before.seconds) {
      const passed = (rows - this.before.rows) / (seconds - this.before.seconds);
      this.before = { rows, seconds, said: `${grouped(Math.round(passed))}/s` };
    }
    return this.before.said;
  }

  readonly node: HTMLElement;
  private readonly topology: boolean;
  private before = { rows: 0, seconds: 0, said: '' };
  private readonly bar = h('progress', { max: 1 });
  private readonly figures = h('div', { class: 'wb-Item-about' });
  private readonly natives = h('div', { class: 'wb-Item-about wb-Run-natives' });
  private readonly refused = h('div', { class: 'wb-State', 'data-kind': 'bad', role: 'alert' });
  private readonly stop: HTMLButtonElement;
}

function viewOf(title: string): string {
  return `import workbench as wb\n\nwb.view(wb.streams.find("${title.slice(TOPOLOGY.length + 1)}"))`;
}

export function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
