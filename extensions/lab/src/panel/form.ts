import { Widget } from '@lumino/widgets';

import { h, replace } from '../dom';
import { iconOf } from '../icon';
import type { Connection, ConnectionBody, Connector } from '../wire';
import type { Property } from './schema';

/** The parts of a URL, by the names that the contract gives them: they are seen at once, as what is required is. */
const URL_PARTS = new Set(['host', 'port', 'user', 'database']);

interface Field {
  node: HTMLElement;
  /** undefined: not filled in, so the connector's default holds. */
  value(): unknown;
  secret: boolean;
}

/** Fields for a connection, made of what its connector says that it wants to know. */
export class ConnectionForm extends Widget {
  constructor(
    private readonly connectors: Connector[],
    private readonly before: Connection | null,
    kind = ''
  ) {
    super();
    this.addClass('wb-Form');
    this.name = h('input', {
      class: 'jp-mod-styled', id: 'wb-form-name', required: true, maxlength: 64, spellcheck: 'false', autocomplete: 'off',
      placeholder: 'for example shop'
    });
    this.name.value = before?.name ?? '';
    this.kind = h('select', { class: 'jp-mod-styled', id: 'wb-form-kind', change: () => (this.fill(), this.chosen()) });
    for (const connector of connectors) {
      this.kind.append(h('option', { value: connector.name }, connector.label));
    }
    this.kind.value = before?.connector ?? (kind || (connectors[0]?.name ?? ''));
    this.kind.disabled = before !== null;
    this.writable = h('input', { type: 'checkbox', id: 'wb-form-writable' });
    this.writable.checked = before?.writable ?? false;
    this.node.append(
      row('Name', this.name, 'Tables are then written name.table'),
      row('Kind', h('div', { class: 'wb-Form-kind' }, this.icon, this.kind), '', this.kind.id),
      this.fields,
      this.more,
      this.writes
    );
    this.fill();
  }

  /** The connector that is chosen. */
  get connector(): Connector | undefined {
    return this.connectors.find(one => one.name === this.kind.value);
  }

  /** What the server is sent. A secret is sent only when it was typed: else the one that is kept stays. */
  body(): ConnectionBody {
    const parameters: Record<string, unknown> = {};
    const secrets: Record<string, string> = {};
    for (const [name, field] of this.made) {
      const value = field.value();
      if (value !== undefined) {
        if (field.secret) {
          secrets[name] = String(value);
        } else {
          parameters[name] = value;
        }
      }
    }
    return { name: this.name.value.trim(), connector: this.kind.value, parameters, secrets, writable: this.writable.checked };
  }

  private fill(): void {
    const connector = this.connector;
    replace(this.icon, iconOf(connector));
    const known = this.before?.connector === connector?.name ? this.before : null;
    const first: HTMLElement[] = [];
    const rest: HTMLElement[] = [];
    this.made = new Map();
    for (const [name, property] of Object.entries(connector?.parameters.properties ?? {})) {
      const required = connector?.parameters.required?.includes(name) ?? false;
      const field = makeField(name, property, required, known);
      this.made.set(name, field);
      (required || field.secret || URL_PARTS.has(name) ? first : rest).push(field.node);
    }
    replace(this.fields, ...first);
    replace(this.more, h('summary', {}, 'More'), ...rest);
    this.more.hidden = rest.length === 0;
    replace(this.writes, this.writable, h('label', { for: 'wb-form-writable' }, 'May write to the source'));
    this.writes.hidden = connector?.capabilities.sinks === false;
    this.node.dispatchEvent(new Event('input', { bubbles: true })); // the dialog looks again at what is missing
  }

  private readonly name: HTMLInputElement;
  /** Called when another kind was chosen. */
  chosen = (): void => undefined;

  private readonly kind: HTMLSelectElement;
  private readonly writable: HTMLInputElement;
  private readonly icon = h('span', { class: 'wb-Form-icon' });
  private readonly fields = h('div');
  private readonly more = h('details', { class: 'wb-Form-more' });
  private readonly writes = h('div', { class: 'wb-Form-check' });
  private made = new Map<string, Field>();
}

function makeField(name: string, property: Property, required: boolean, known: Connection | null): Field {
  const id = `wb-form-parameter-${name}`;
  const secret = property.secret === true;
  const now = known?.parameters[name];
  const label = property.title ?? labelled(name);
  const usual = property.default === undefined || property.default === '' ? '' : String(property.default);
  if (property.enum) {
    const input = h('select', { class: 'jp-mod-styled', id });
    if (!required && property.default === undefined) {
      input.append(h('option', { value: '' }, ''));
    }
    property.enum.forEach((value, place) => input.append(h('option', { value: place }, String(value))));
    const at = property.enum.indexOf(now ?? property.default);
    input.value = at < 0 ? (required ? '0' : '') : String(at);
    return { node: row(label, input, property.description), value: () => chosen(property, input.value), secret };
  }
  if (property.type === 'boolean') {
    const input = h('input', { type: 'checkbox', id });
    input.checked = Boolean(now ?? property.default ?? false);
    const node = h('div', { class: 'wb-Form-check' }, input, h('label', { for: id }, label));
    return { node, value: () => input.checked, secret };
  }
  const number = property.type === 'integer' || property.type === 'number';
  const kept = secret && known !== null && name in known.secrets;
  const input = h('input', {
    class: 'jp-mod-styled', id, required: required && !secret, spellcheck: 'false',
    type: secret ? 'password' : number ? 'number' : 'text',
    step: number ? (property.type === 'integer' ? 1 : 'any') : null,
    min: property.minimum, max: property.maximum, maxlength: property.maxLength,
    placeholder: kept ? 'kept' : usual,
    autocomplete: secret ? 'new-password' : 'off'
  });
  if (!secret && now !== undefined && now !== null && String(now) !== usual) {
    input.value = String(now);
  }
  const about = kept ? 'One is kept. Leave this empty to keep it.' : property.description;
  const value = (): unknown => (input.value === '' ? undefined : number ? Number(input.value) : input.value);
  return { node: row(label, input, about), value, secret };
}

function chosen(property: Property, place: string): unknown {
  const value = place === '' ? undefined : property.enum?.[Number(place)];
  return value === property.default ? undefined : value;
}

function row(label: string, input: HTMLElement, about = '', id = input.id): HTMLElement {
  const node = h('div', { class: 'wb-Form-row' }, h('label', { for: id }, label), input);
  if (about) {
    node.append(h('div', { class: 'wb-Form-about', id: `${input.id}-about` }, ...coded(about)));
    input.setAttribute('aria-describedby', `${input.id}-about`);
  }
  return node;
}

/** What stands between backquotes in a description is written as code. */
function coded(text: string): (Node | string)[] {
  return text.split('`').map((part, place) => (place % 2 ? h('code', {}, part) : part));
}

/** `connect_timeout` → `Connect timeout`. */
function labelled(name: string): string {
  const words = name.replace(/_/g, ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}
