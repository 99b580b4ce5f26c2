import { LabIcon } from '@jupyterlab/ui-components';

type Child = Node | string | null | undefined | false;

export interface Attributes {
  [name: string]: string | number | boolean | null | undefined | EventListener;
}

/**
 * An element. What comes from outside reaches the page as text alone: there is no way here to hand over markup.
 * A function is a listener of that event; true is an empty attribute; false, null and undefined leave it out.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') {
      element.addEventListener(name, value);
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  append(element, children);
  return element;
}

export function replace(element: Element, ...children: Child[]): void {
  element.textContent = '';
  append(element, children);
}

function append(element: Element, children: Child[]): void {
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) {
      element.append(child);
    }
  }
}

/** A button that shows an icon; `label` is its tooltip and its name for a screen reader. */
export function iconButton(
  icon: LabIcon,
  label: string,
  action: (event: MouseEvent) => void,
  attributes: Attributes = {}
): HTMLButtonElement {
  const button = h('button', { type: 'button', class: 'wb-IconButton', title: label, 'aria-label': label, ...attributes });
  icon.element({ container: button, stylesheet: 'menuItem' });
  button.addEventListener('click', action);
  return button;
}

/** A picture beside a name: the connector's own, which is shown as a picture only and so cannot do anything. */
export function picture(svg: string, fallback: LabIcon): HTMLElement {
  const holder = h('span', { class: 'wb-Icon', 'aria-hidden': 'true' });
  if (svg) {
    holder.append(h('img', { alt: '', src: `data:image/svg+xml,${encodeURIComponent(svg)}` }));
  } else {
    fallback.element({ container: holder, stylesheet: 'menuItem' });
  }
  return holder;
}

/** `1,234,567` in every language of the browser: the notebook writes numbers so too. */
export function grouped(count: number): string {
  return count.toLocaleString('en-US');
}

/** `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`. */
export function duration(seconds: number): string {
  if (seconds < 10) {
    return `${Math.max(0, seconds).toFixed(1)} s`;
  }
  const whole = Math.round(seconds);
  if (whole < 60) {
    return `${whole} s`;
  }
  if (whole < 3600) {
    return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  }
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
