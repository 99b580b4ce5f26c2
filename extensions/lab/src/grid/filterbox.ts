import { h, replace } from '../dom';
import { ColumnInfo, Filter } from './api';
import { familyOf, Operator, OPERATORS } from './conditions';

/** A small form at a place of the window that asks for one condition; the promise is null when it was given up. */
export function askFilter(info: ColumnInfo, at: { x: number; y: number }, before?: Filter): Promise<Filter | null | 'remove'> {
  const family = familyOf(info.type);
  const operators = OPERATORS[family];
  const label = `Filter ${info.name}`;
  const choice = h('select', { class: 'jp-mod-styled', 'aria-label': 'Condition' });
  for (const { op, words } of operators) {
    choice.append(h('option', { value: op, selected: op === before?.op }, words));
  }
  const inputs = h('div', { class: 'wb-Filter-values' });
  const problem = h('div', { class: 'wb-Filter-problem', role: 'alert' });
  const operator = () => operators.find(one => one.op === choice.value) ?? operators[0];

  const input = (value: string, name: string) =>
    family === 'bool'
      ? boolChoice(value)
      : h('input', {
          class: 'jp-mod-styled',
          type: 'text',
          inputmode: family === 'number' ? 'decimal' : 'text',
          placeholder: hint(family, operator()),
          'aria-label': name,
          value
        });
  const draw = () => {
    const { values } = operator();
    const held = [...inputs.querySelectorAll<HTMLInputElement>('input, select')].map(one => one.value);
    const start = held.length ? held : listed(before);
    problem.textContent = '';
    if (values === 0) {
      replace(inputs);
    } else if (values === 2) {
      replace(inputs, input(start[0] ?? '', 'From'), h('span', {}, 'and'), input(start[1] ?? '', 'To'));
    } else {
      const joined = values === 'list' && !held.length ? start.join(', ') : start[0];
      replace(inputs, input(joined ?? '', 'Value'));
    }
  };
  choice.addEventListener('change', () => {
    draw();
    choice.focus(); // the field that had the focus may be gone
  });

  return new Promise(resolve => {
    const cameFrom = document.activeElement as HTMLElement | null;
    const close = (answer: Filter | null | 'remove') => {
      document.removeEventListener('mousedown', outside, true);
      box.remove();
      cameFrom?.focus({ preventScroll: true });
      resolve(answer);
    };
    const outside = (event: MouseEvent) => {
      if (!box.contains(event.target as Node)) {
        close(null);
      }
    };
    const submit = (event: Event) => {
      event.preventDefault();
      const texts = [...inputs.querySelectorAll<HTMLInputElement>('input, select')].map(one => one.value);
      const made = filterOf(info.name, operator(), texts, family);
      if (typeof made === 'string') {
        problem.textContent = made;
      } else {
        close(made);
      }
    };
    const form = h(
      'form',
      { submit },
      h('div', { class: 'wb-Filter-title' }, info.name, h('small', {}, info.type)),
      choice,
      inputs,
      problem,
      h(
        'div',
        { class: 'wb-Filter-buttons' },
        before && h('button', { type: 'button', class: 'jp-mod-styled', click: () => close('remove') }, 'Remove'),
        h('button', { type: 'button', class: 'jp-mod-styled jp-mod-reject', click: () => close(null) }, 'Cancel'),
        h('button', { type: 'submit', class: 'jp-mod-styled jp-mod-accept' }, 'Filter')
      )
    );
    const box = h('div', { class: 'wb-Filter', role: 'dialog', 'aria-label': label, 'data-lm-suppress-shortcuts': 'true' }, form);
    box.addEventListener('keydown', event => {
      event.stopPropagation();
      if (event.key === 'Escape') {
        close(null);
      } else if (event.key === 'Enter' && event.target === choice) {
        form.requestSubmit();
      }
    });
    draw();
    document.body.append(box);
    const { width, height } = box.getBoundingClientRect();
    box.style.left = `${Math.max(8, Math.min(at.x, window.innerWidth - width - 8))}px`;
    box.style.top = `${Math.max(8, Math.min(at.y + 8, window.innerHeight - height - 8))}px`;
    document.addEventListener('mousedown', outside, true);
    (inputs.querySelector<HTMLElement>('input, select') ?? choice).focus();
  });
}

function boolChoice(value: string): HTMLSelectElement {
  return h(
    'select',
    { class: 'jp-mod-styled', 'aria-label': 'Value' },
    h('option', { value: 'true', selected: value === 'true' }, 'true'),
    h('option', { value: 'false', selected: value === 'false' }, 'false')
  );
}

function listed(before?: Filter): string[] {
  const value = before?.value;
  return value === undefined ? [] : Array.isArray(value) ? value.map(String) : [String(value)];
}

function hint(family: string, operator: Operator): string {
  if (operator.values === 'list') {
    return 'values, separated by commas';
  }
  return family === 'time' ? '2026-01-31 or 2026-01-31 12:00' : '';
}

/** The condition, or what is wrong with its values. */
export function filterOf(column: string, { op, values }: Operator, texts: string[], family: string): Filter | string {
  if (values === 0) {
    return { column, op };
  }
  const given = values === 'list' ? texts[0].split(',').map(text => text.trim()) : texts;
  for (const text of given) {
    if (family !== 'text' && text.trim() === '') {
      return 'A value is missing.';
    }
    if (family === 'number' && !/^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(text)) {
      return `'${text}' is not a number.`;
    }
  }
  const clean = family === 'text' ? given : given.map(text => text.trim());
  return { column, op, value: values === 1 ? clean[0] : clean };
}
