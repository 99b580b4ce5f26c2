import { Graph, layout } from '@dagrejs/dagre';

import { h, svg } from '../live/dom';
import { ms, rate, short } from '../live/format';
import { Component, Edge, Seen } from './topology';

const WIDTH = 148;
const HEIGHT = 58;
const WIDEST = 7;
/** So much of its size it has at least, for its letters are to be read: where there is less room, it is scrolled. */
const SMALLEST = 0.8;

/** The topology's graph: boxes by what they do and how busy they are, edges as wide as what goes along them. */
export class Drawing {
  readonly node = h('div', { class: 'wb-Graph' });

  draw(seen: Seen, shown: (component: string) => void): void {
    const shape = JSON.stringify([seen.components, seen.edges]);
    if (shape !== this.shape) {
      this.shape = shape;
      this.lay(seen.components, seen.edges, shown);
    }
    const most = Math.max(1, ...seen.edges.map(edge => seen.rate(edge)));
    seen.edges.forEach((edge, place) => {
      const now = seen.rate(edge);
      const { path, label } = this.edges[place];
      path.style.strokeWidth = String(1 + (WIDEST - 1) * Math.sqrt(now / most) * (now > 0 ? 1 : 0));
      path.classList.toggle('wb-mod-still', now === 0);
      label.textContent = now > 0 ? rate(now) : '';
    });
    for (const { id, kind } of seen.components) {
      const { box, first, second, badge, hint } = this.boxes.get(id)!;
      const promised = seen.promise(id);
      badge.textContent = promised?.claim ?? '';
      badge.dataset.claim = promised?.claim ?? '';
      const why = promised ? [promised.claim, promised.how, ...promised.why].filter(Boolean).join('\n') : '';
      if (hint.textContent !== why) {
        hint.textContent = why; // only then: what is said under the pointer goes when it is set again
      }
      const counts = seen.counts(id);
      box.dataset.load = load(counts.capacity);
      box.classList.toggle('wb-mod-bad', counts.failed + counts.errors + counts.dead > 0);
      first.textContent = kind === 'spout' ? `${rate(counts.rate)} · ${short(counts.pending)} pending` : rate(counts.rate);
      second.textContent = counts.ms === null ? '' : `${ms(counts.ms)} ms${counts.capacity === null ? '' : ` · ${(100 * counts.capacity).toFixed(0)} %`}`;
    }
  }

  private lay(components: Component[], edges: Edge[], shown: (component: string) => void): void {
    const graph = new Graph({ multigraph: true });
    graph.setGraph({ rankdir: 'LR', nodesep: 28, ranksep: 70, marginx: 10, marginy: 16 });
    graph.setDefaultEdgeLabel(() => ({}));
    components.forEach(({ id }) => graph.setNode(id, { width: WIDTH, height: HEIGHT }));
    edges.forEach(({ source, target, stream }) => graph.setEdge(source, target, { width: 60, height: 16, labelpos: 'c' }, stream));
    layout(graph);
    const said = graph.graph() as { width?: number; height?: number };
    const [width, height] = components.length ? [said.width ?? 0, said.height ?? 0] : [0, 0];
    this.edges = edges.map(edge => this.arrow(graph, edge));
    this.boxes = new Map(components.map(component => [component.id, this.box(graph, component, shown)]));
    const view = svg('svg', { viewBox: `0 0 ${width} ${height}`, width, style: `min-width: ${Math.round(SMALLEST * width)}px`, role: 'img', 'aria-label': 'The topology' },
      svg('defs', {}, svg('marker', { id: 'wb-arrow', viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: 'userSpaceOnUse', orient: 'auto' },
        svg('path', { d: 'M0,0 L8,4 L0,8 Z', class: 'wb-Arrow' }))),
      ...this.edges.flatMap(({ path, label }) => [path, label]),
      ...[...this.boxes.values()].map(({ box }) => box));
    this.node.replaceChildren(view);
  }

  private arrow(graph: Graph, { source, target, stream, grouping }: Edge): { path: SVGPathElement; label: SVGTextElement } {
    const { points, x, y } = graph.edge(source, target, stream) as { points: { x: number; y: number }[]; x?: number; y?: number };
    const title = svg('title', {}, `${source} → ${target}${stream === 'default' ? '' : `, stream ${stream}`}, by ${grouping}`);
    const [first, last] = [points[0], points[points.length - 1]];
    const straight = points.length < 4;
    const middle = straight ? { x: (first.x + last.x) / 2, y: (first.y + last.y) / 2 } : { x: x ?? first.x, y: y ?? first.y };
    const steep = straight ? Math.min(10, (30 * Math.abs(last.y - first.y)) / Math.max(1, last.x - first.x)) : 0;
    const path = svg('path', { class: 'wb-Edge', d: curve(points), 'marker-end': 'url(#wb-arrow)' }, title);
    return { path, label: svg('text', { class: 'wb-EdgeRate', x: middle.x, y: middle.y - 7 - steep }) };
  }

  private box(graph: Graph, { id, kind, tasks }: Component, shown: (component: string) => void): Box {
    const { x, y } = graph.node(id) as { x: number; y: number };
    const first = svg('text', { class: 'wb-BoxLine', x: WIDTH / 2, y: 34 });
    const second = svg('text', { class: 'wb-BoxLine', x: WIDTH / 2, y: 49 });
    const hint = svg('title');
    const badge = svg('text', { class: 'wb-Promise', x: WIDTH / 2, y: HEIGHT + 12 });
    const name = id.length > 18 ? `${id.slice(0, 17)}…` : id;
    const box = svg('g', { class: `wb-Box wb-mod-${kind}`, transform: `translate(${x - WIDTH / 2},${y - HEIGHT / 2})`, click: () => shown(id) },
      svg('title', {}, `${kind} ${id}${tasks > 1 ? `, ${tasks} tasks` : ''}`),
      svg('rect', { width: WIDTH, height: HEIGHT, rx: kind === 'spout' ? HEIGHT / 2 : 5 }),
      svg('text', { class: 'wb-BoxName', x: WIDTH / 2, y: 18 }, tasks > 1 ? `${name} ×${tasks}` : name), first, second, svg('g', {}, hint, badge));
    return { box, first, second, badge, hint };
  }

  private shape = '';
  private edges: { path: SVGPathElement; label: SVGTextElement }[] = [];
  private boxes = new Map<string, Box>();
}

interface Box {
  box: SVGGElement;
  first: SVGTextElement;
  second: SVGTextElement;
  badge: SVGTextElement;
  hint: SVGTitleElement;
}

/** As Storm's users read it: above 0.9 a bolt holds the others up. */
function load(capacity: number | null): string {
  return capacity === null ? 'none' : capacity > 0.9 ? 'full' : capacity > 0.6 ? 'high' : capacity > 0.1 ? 'some' : 'low';
}

function curve(points: { x: number; y: number }[]): string {
  const [first, ...others] = points;
  const last = others[others.length - 1] ?? first;
  const bend = (last.x - first.x) / 2;
  return others.length < 3
    ? `M${first.x},${first.y} C${first.x + bend},${first.y} ${last.x - bend},${last.y} ${last.x},${last.y}`
    : `M${first.x},${first.y} ${others.map(({ x, y }) => `L${x},${y}`).join(' ')}`;
}
