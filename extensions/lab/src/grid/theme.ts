import { CellRenderer, DataGrid, GraphicsContext, RendererMap, TextRenderer } from '@lumino/datagrid';

import { Cell, drawn, Kind } from './format';
import { HeaderCell } from './model';

export const ROW_HEIGHT = 24;
export const HEADER_HEIGHT = 40;
/** The right end of a header, which opens the filter. */
export const FILTER_WIDTH = 24;

/** JupyterLab's colours and fonts as they are now: a canvas does not follow CSS by itself. */
export class Palette {
  private readonly style = getComputedStyle(document.body);
  private readonly values = new Map<string, string>();

  get(name: string, otherwise = ''): string {
    let value = this.values.get(name);
    if (value === undefined) {
      value = this.style.getPropertyValue(name).trim() || otherwise; // slow: the page's style is worked out for it
      this.values.set(name, value);
    }
    return value;
  }

  font(rest = ''): string {
    return `${rest} ${this.get('--jp-ui-font-size1', '13px')} ${this.get('--jp-ui-font-family', 'sans-serif')}`.trim();
  }

  small(): string {
    return `11px ${this.get('--jp-ui-font-family', 'sans-serif')}`;
  }
}

export function gridStyle(palette: Palette): DataGrid.Style {
  const strong = palette.get('--jp-border-color1');
  const line = palette.get('--jp-border-color2', strong);
  const brand = palette.get('--jp-brand-color1');
  return {
    ...DataGrid.defaultStyle,
    voidColor: palette.get('--jp-layout-color1'),
    backgroundColor: palette.get('--jp-layout-color1'),
    gridLineColor: line,
    headerBackgroundColor: palette.get('--jp-layout-color2'),
    headerGridLineColor: strong,
    selectionFillColor: see(brand, '2e'),
    selectionBorderColor: brand,
    cursorFillColor: 'transparent',
    cursorBorderColor: brand,
    headerSelectionFillColor: see(brand, '2e'),
    headerSelectionBorderColor: brand,
    scrollShadow: { size: 4, color1: 'transparent', color2: 'transparent', color3: 'transparent' }
  };
}

/** The colour, made transparent; the themes give hexadecimal ones. */
function see(colour: string, alpha: string): string {
  return /^#[0-9a-f]{6}$/i.test(colour) ? colour + alpha : 'rgba(33, 150, 243, 0.18)';
}

export function renderers(palette: Palette, numeric: (column: number) => boolean): RendererMap {
  const ink = palette.get('--jp-ui-font-color1');
  const dim = palette.get('--jp-ui-font-color2');
  const colours: Partial<Record<Kind, string>> = {
    null: palette.get('--jp-ui-font-color3', dim),
    binary: dim,
    nested: dim
  };
  const cellText = ({ value }: CellRenderer.CellConfig) => {
    const cell = value as Cell | undefined;
    return cell === undefined ? '…' : cell.kind === 'null' ? 'NULL' : drawn(cell.text, cell.cut && cell.kind !== 'binary');
  };
  const kindOf = ({ value }: CellRenderer.CellConfig) => (value as Cell | undefined)?.kind;
  const body = new TextRenderer({
    font: config => palette.font(kindOf(config) === 'null' ? 'italic' : ''),
    textColor: config => colours[kindOf(config) ?? 'null'] ?? ink,
    horizontalAlignment: ({ column }) => (numeric(column) ? 'right' : 'left'),
    backgroundColor: palette.get('--jp-layout-color1'),
    elideDirection: 'right',
    format: cellText
  });
  const rows = new TextRenderer({
    font: palette.small(),
    textColor: dim,
    backgroundColor: palette.get('--jp-layout-color2'),
    horizontalAlignment: 'right',
    format: ({ value }) => (value as number).toLocaleString('en-US')
  });
  const corner = new TextRenderer({ backgroundColor: palette.get('--jp-layout-color2'), format: () => '' });
  return new RendererMap({ body, 'row-header': rows, 'column-header': new HeaderRenderer(palette), 'corner-header': corner });
}

/** A column's name and below it its type; on the right the sort arrow and what opens the filter. */
class HeaderRenderer extends CellRenderer {
  constructor(private readonly palette: Palette) {
    super();
  }

  paint(gc: GraphicsContext, { x, y, width, height, value }: CellRenderer.CellConfig): void {
    const { name, type, sort, filtered } = value as HeaderCell;
    const { palette } = this;
    const brand = palette.get('--jp-brand-color1');
    const right = x + width - FILTER_WIDTH;
    gc.save();
    gc.beginPath();
    gc.rect(x, y, width, height);
    gc.clip();
    gc.fillStyle = palette.get('--jp-layout-color2');
    gc.fillRect(x, y, width, height);
    gc.textBaseline = 'middle';
    gc.textAlign = 'right';
    gc.font = palette.small();
    gc.fillStyle = brand;
    if (sort) {
      gc.fillText(sort, right, y + 13);
    }
    this.funnel(gc, right + 6, y + 9, filtered ? brand : palette.get('--jp-ui-font-color3'), filtered);
    gc.textAlign = 'left';
    const room = right - x - 10 - (sort ? gc.measureText(sort).width + 4 : 0);
    gc.fillStyle = palette.get('--jp-ui-font-color1');
    gc.font = palette.font('600');
    gc.fillText(fitted(gc, drawn(name), room), x + 8, y + 13);
    gc.fillStyle = palette.get('--jp-ui-font-color2');
    gc.font = palette.small();
    gc.fillText(fitted(gc, drawn(type), width - 16), x + 8, y + 29);
    gc.restore();
  }

  private funnel(gc: GraphicsContext, x: number, y: number, colour: string, full: boolean): void {
    gc.beginPath();
    gc.moveTo(x, y);
    gc.lineTo(x + 10, y);
    gc.lineTo(x + 6, y + 4.5);
    gc.lineTo(x + 6, y + 9);
    gc.lineTo(x + 4, y + 8);
    gc.lineTo(x + 4, y + 4.5);
    gc.closePath();
    gc.lineWidth = 1;
    gc.strokeStyle = colour;
    gc.stroke();
    if (full) {
      gc.fillStyle = colour;
      gc.fill();
    }
  }
}

function fitted(gc: GraphicsContext, text: string, room: number): string {
  if (gc.measureText(text).width <= room) {
    return text;
  }
  let [fits, breaks] = [0, text.length];
  while (breaks - fits > 1) {
    const middle = (fits + breaks) >> 1;
    if (gc.measureText(text.slice(0, middle) + '…').width <= room) {
      fits = middle;
    } else {
      breaks = middle;
    }
  }
  return fits ? text.slice(0, fits) + '…' : '';
}
