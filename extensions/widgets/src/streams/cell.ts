import { moment } from '../graph/chart';
import { h } from '../live/dom';
import { value } from '../live/format';
import { Said } from './said';
import { Shown, shown } from './shown';

/** A view with its title, and what has to be known of it: what was late, is missing, did not fit, is not all yet. */
export class Cell {
  readonly node: HTMLElement;

  constructor(said: Said) {
    const { kind, title } = said.spec;
    this.inside = shown(said);
    this.title.textContent = title || named(said);
    this.node = h('figure', { class: `wb-Cell wb-mod-${kind}`, 'data-kind': kind },
      h('figcaption', { title: `stream ${said.stream}${said.window && `, ${said.window}`}` }, this.title, this.scope), this.inside.node, this.foot);
  }

  draw(said: Said): void {
    this.inside.draw(said);
    this.scope.textContent = scope(said);
    const { skipped, bad, why } = said.about;
    const notes = [
      said.late ? `${value(said.late)} came too late` : '',
      skipped ? `${value(skipped)} earlier rows are not in it` : '',
      said.early && !said.over && said.spec.kind !== 'series' ? 'the newest window: so far' : '',
      ...this.inside.notes(said)
    ].filter(Boolean);
    const text = notes.join(' · ');
    if (this.notes.textContent !== text) {
      this.notes.textContent = text;
    }
    this.bad.textContent = bad ? `${notes.length ? ' · ' : ''}${value(bad)} did not fit: ${why}` : '';
    this.foot.hidden = !notes.length && !bad;
  }

  dispose(): void {
    this.inside.dispose();
  }

  private readonly inside: Shown;
  private readonly title = h('strong');
  private readonly scope = h('span', { class: 'wb-Scope' });
  private readonly notes = h('span');
  private readonly bad = h('span', { class: 'wb-Bad' });
  private readonly foot = h('div', { class: 'wb-Foot', hidden: true }, this.notes, this.bad);
}

function named(said: Said): string {
  const { kind, y, by, step } = said.spec;
  const what = y || (kind === 'table' ? '' : 'rows');
  return kind === 'funnel' ? `${step}, ${said.stream}` : [what, by && `by ${by}`, `${what || by ? 'of ' : ''}${said.stream}`].filter(Boolean).join(' ');
}

/** Of what time a sum is. */
function scope(said: Said): string {
  const { kind, over = 0, x } = said.spec;
  const { first, last } = said.about;
  if (kind !== 'top' && kind !== 'funnel') {
    return '';
  }
  if (first === null || last === null) {
    return '';
  }
  if (over) {
    return `the ${length(over)} before ${moment(last)}`;
  }
  return `${said.over ? 'from' : 'so far, since'} ${moment(first)}${said.over && x ? ` to ${moment(last)}` : ''}`;
}

function length(seconds: number): string {
  const [count, unit] = seconds % 86_400 === 0 ? [seconds / 86_400, 'day'] : seconds % 3600 === 0 ? [seconds / 3600, 'hour']
    : seconds % 60 === 0 ? [seconds / 60, 'minute'] : [seconds, 'second'];
  return count === 1 ? unit : `${count} ${unit}s`;
}
