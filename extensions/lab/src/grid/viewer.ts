import { Dialog } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { h, replace } from '../dom';
import { CellValue } from './api';
import { toClipboard } from './copying';

/** One whole value, and where it stands. */
export interface Value extends CellValue {
  column: string;
  type: string;
  row: number;
}

const MOST_TEXT = 2_000_000;
const MOST_BYTES = 65_536;

/** Shows a value in a dialog: text as it is, JSON laid out, bytes as a dump. */
export async function showValue(value: Value): Promise<void> {
  const body = new Widget();
  body.addClass('wb-Viewer');
  const area = h('pre', { class: 'wb-Viewer-text', tabindex: '0', 'aria-label': `Value of ${value.column}` });
  const pretty = value.kind === 'binary' || value.kind === 'null' ? null : laidOut(value.text);
  const tabs = h('div', { class: 'wb-Viewer-tabs' });
  const show = (text: string, wrap: boolean) => {
    area.textContent = text.length > MOST_TEXT ? text.slice(0, MOST_TEXT) : text;
    area.classList.toggle('wb-mod-wrap', wrap);
  };
  const choices: [string, () => void][] = [];
  if (pretty !== null) {
    choices.push(['JSON', () => show(pretty, false)]);
  }
  if (value.kind === 'binary') {
    choices.push(['Bytes', () => show(dump(value.bytes), false)]);
    choices.push(['Text', () => show(new TextDecoder().decode(value.bytes), true)]);
  } else {
    choices.push(['Text', () => show(value.kind === 'null' ? 'NULL' : value.text, true)]);
  }
  const buttons = choices.map(([name, action], i) =>
    h('button', { type: 'button', class: 'wb-Viewer-tab', 'aria-pressed': String(i === 0), click: () => {
      buttons.forEach(one => one.setAttribute('aria-pressed', String(one === buttons[i])));
      action();
    } }, name)
  );
  replace(tabs, ...(buttons.length > 1 ? buttons : []), h('span', { class: 'wb-Viewer-size' }, sized(value)));
  choices[0][1]();
  body.node.append(tabs, area);

  const copy = Dialog.createButton({ label: 'Copy', accept: true, className: 'wb-Viewer-copy' });
  const dialog = new Dialog({
    title: `${value.column} · row ${(value.row + 1).toLocaleString('en-US')}`,
    body,
    buttons: [copy, Dialog.cancelButton({ label: 'Close' })],
    defaultButton: 1,
    focusNodeSelector: '.wb-Viewer-text'
  });
  dialog.addClass('wb-ViewerDialog');
  const answer = await dialog.launch();
  if (answer.button.label === 'Copy') {
    await toClipboard(Promise.resolve(value.kind === 'null' ? '' : (area.textContent ?? '')));
  }
}

function laidOut(text: string): string | null {
  if (!/^\s*[[{]/.test(text)) {
    return null;
  }
  try {
    return indented(text);
  } catch {
    return null;
  }
}

/** JSON with line breaks. Not by way of JSON.parse, which would round large numbers. */
function indented(text: string): string {
  JSON.parse(text); // throws where it is none
  let depth = 0;
  const line = () => '\n' + '  '.repeat(depth);
  return text.replace(/"(?:[^"\\]|\\.)*"|[[{]\s*[\]}]|[[\]{},:]|\s+/g, piece => {
    switch (piece) {
      case '{':
      case '[':
        depth += 1;
        return piece + line();
      case '}':
      case ']':
        depth -= 1;
        return line() + piece;
      case ',':
        return ',' + line();
      case ':':
        return ': ';
      default:
        return /^\s+$/.test(piece) ? '' : piece;
    }
  });
}

function sized({ kind, text, bytes, type }: Value): string {
  const count = (n: number, what: string) => `${n.toLocaleString('en-US')} ${what}${n === 1 ? '' : 's'}`;
  const size = kind === 'binary' ? count(bytes.length, 'byte') : count(text.length, 'character');
  const shown = kind === 'binary' ? MOST_BYTES : MOST_TEXT;
  const all = kind === 'binary' ? bytes.length : text.length;
  return kind === 'null' ? type : `${type} · ${size}${all > shown ? `, the first ${count(shown, 'one')} shown` : ''}`;
}

/** `00000010  41 42 …  AB…`, sixteen bytes a line. */
function dump(bytes: Uint8Array): string {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, MOST_BYTES); at += 16) {
    const row = Array.from(bytes.subarray(at, at + 16));
    const codes = row.map(byte => byte.toString(16).padStart(2, '0')).join(' ');
    const letters = row.map(byte => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.')).join('');
    lines.push(`${at.toString(16).padStart(8, '0')}  ${codes.padEnd(47)}  ${letters}`);
  }
  return lines.join('\n');
}
