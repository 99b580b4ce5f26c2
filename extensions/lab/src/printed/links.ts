import { elementOf, Run } from './ansi';

interface Link {
  start: number;
  end: number;
  url: string;
}

const MARK = /:\/\/|www\./g;
const SCHEME = /[a-z][a-z\d+.-]{2,40}$/i;
const LONGEST_SCHEME = 41;
const REST = /^[^\s\x00-\x20\x7f-\x9f"]{2,}[^\s\x00-\x20\x7f-\x9f"'(){}[\],:;.!?]/;
const NEVER = /^(?:javascript|vbscript):/i;

/** What is printed as nodes: text, coloured spans, and anchors around addresses. */
export function nodesOf(runs: Run[], links: boolean): DocumentFragment {
  const nodes = document.createDocumentFragment();
  const waiting = links ? linksIn(runs.map(run => run.text).join('')) : [];
  let anchor: HTMLAnchorElement | null = null;
  let at = 0;
  for (const { text, look } of runs) {
    for (let done = 0; done < text.length; ) {
      const link = waiting[0];
      const inside = link !== undefined && at >= link.start;
      const until = link === undefined ? Infinity : inside ? link.end : link.start;
      const part = text.slice(done, done + until - at);
      anchor = inside ? anchor ?? nodes.appendChild(anchorOf(link)) : null;
      (anchor ?? nodes).append(elementOf(part, look));
      at += part.length;
      done += part.length;
      if (inside && at === link.end) {
        waiting.shift();
        anchor = null;
      }
    }
  }
  return nodes;
}

/** Only the places where an address can be are looked at: a pattern over all that is printed takes longer than to show it. */
function linksIn(text: string): Link[] {
  const found: Link[] = [];
  let taken = 0;
  for (const { 0: mark, index } of text.matchAll(MARK)) {
    const scheme = mark === 'www.' ? '' : SCHEME.exec(text.slice(Math.max(taken, index - LONGEST_SCHEME), index))?.[0];
    const after = index + mark.length;
    const rest = REST.exec(text.slice(after))?.[0].replace(/[<>]$/, '');
    if (index < taken || scheme === undefined || rest === undefined) {
      continue;
    }
    const start = index - scheme.length;
    taken = after + rest.length;
    const url = text.slice(start, taken);
    if (!NEVER.test(url)) {
      found.push({ start, end: taken, url: scheme ? url : `https://${url}` });
    }
  }
  return found;
}

function anchorOf({ url }: Link): HTMLAnchorElement {
  const anchor = document.createElement('a');
  anchor.href = url;
  anchor.rel = 'noopener';
  anchor.target = '_blank';
  return anchor;
}
