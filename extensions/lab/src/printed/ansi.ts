/** One of the sixteen colours of a terminal by its number, or `r, g, b`; null is the page's own. */
type Colour = number | string | null;

/** How the text after an escape sequence looks. */
export interface Look {
  readonly fg: Colour;
  readonly bg: Colour;
  readonly bold: boolean;
  readonly underline: boolean;
  readonly inverse: boolean;
}

export interface Run {
  text: string;
  look: Look;
}

export const PLAIN: Look = { fg: null, bg: null, bold: false, underline: false, inverse: false };

const NAMES = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];
// A control sequence ends with its first byte from @ to ~, and within its line.
const SEQUENCE = /\x1b\[([^@-~\n\r\u2028\u2029]*)([@-~])/g;
const UNFINISHED = /\x1b\[[^@-~\n\r\u2028\u2029]*$/;
const LONGEST_SEQUENCE = 64;

/** What is printed as runs of one look each, and the look of what comes after; `look` is that of its begin. */
export function runsOf(text: string, look: Look): { runs: Run[]; look: Look } {
  if (!text.includes('\x1b')) {
    return { runs: [{ text, look }], look };
  }
  const runs: Run[] = [];
  let at = 0;
  for (const found of text.matchAll(SEQUENCE)) {
    if (found.index > at) {
      runs.push({ text: text.slice(at, found.index), look });
    }
    at = found.index + found[0].length;
    if (found[2] === 'm') {
      look = changed(look, codesOf(found[1])); // the other sequences move a cursor that is not there
    }
  }
  const rest = text.slice(at).replace(UNFINISHED, ''); // nothing until the rest of it comes
  if (rest) {
    runs.push({ text: rest, look });
  }
  return { runs, look };
}

/** Where `text` may be cut at `end` or before, so that no sequence and no character is in two pieces. */
export function wholeBefore(text: string, end: number): number {
  const unfinished = UNFINISHED.exec(text.slice(Math.max(0, end - LONGEST_SEQUENCE), end));
  if (unfinished) {
    return end - unfinished[0].length;
  }
  const last = text.charCodeAt(end - 1);
  return last === 0x1b || (last >= 0xd800 && last < 0xdc00) ? end - 1 : end;
}

/** The element of a run, with the classes that Lab's themes colour, or its bare text. */
export function elementOf(text: string, look: Look): Node {
  const classes: string[] = [];
  const bright = look.bold && typeof look.fg === 'number' && look.fg < 8 ? look.fg + 8 : look.fg;
  const [fg, bg] = look.inverse ? [look.bg, bright] : [bright, look.bg];
  const span = document.createElement('span');
  for (const [colour, part] of [[fg, 'fg'], [bg, 'bg']] as const) {
    if (typeof colour === 'number') {
      classes.push(`ansi-${NAMES[colour % 8]}${colour < 8 ? '' : '-intense'}-${part}`);
    } else if (colour !== null) {
      span.style.setProperty(part === 'fg' ? 'color' : 'background-color', `rgb(${colour})`);
    } else if (look.inverse) {
      classes.push(`ansi-default-inverse-${part}`);
    }
  }
  if (look.bold) {
    classes.push('ansi-bold');
  }
  if (look.underline) {
    classes.push('ansi-underline');
  }
  if (!classes.length && !span.style.length) {
    return document.createTextNode(text);
  }
  span.className = classes.join(' ');
  span.textContent = text;
  return span;
}

/** The numbers of a colour sequence; none where one of them is no number. */
function codesOf(given: string): number[] {
  const items = given.split(';');
  return items.every(item => /^\d*$/.test(item)) ? items.map(Number) : [];
}

function changed(look: Look, codes: number[]): Look {
  let now = { ...look };
  while (codes.length) {
    const code = codes.shift()!;
    const tens = Math.floor(code / 10);
    if (code === 0) {
      now = { ...PLAIN };
    } else if (code === 1 || code === 5) {
      now.bold = true;
    } else if (code === 21 || code === 22) {
      now.bold = false;
    } else if (code === 4 || code === 24) {
      now.underline = code === 4;
    } else if (code === 7 || code === 27) {
      now.inverse = code === 7;
    } else if (code === 38 || code === 48) {
      const colour = extended(codes);
      if (colour === null) {
        return now; // nobody knows where its numbers end
      }
      now[code === 38 ? 'fg' : 'bg'] = colour;
    } else if (code === 39 || code === 49) {
      now[code === 39 ? 'fg' : 'bg'] = null;
    } else if ((tens === 3 || tens === 4) && code % 10 < 8) {
      now[tens === 3 ? 'fg' : 'bg'] = code % 10;
    } else if ((tens === 9 || tens === 10) && code % 10 < 8) {
      now[tens === 9 ? 'fg' : 'bg'] = (code % 10) + 8;
    }
  }
  return now;
}

/** The colour that `38` or `48` is followed by, taken from the codes: of 256, or of all. */
function extended(codes: number[]): Colour {
  const kind = codes.shift();
  if (kind === 2 && codes.length >= 3) {
    const parts = codes.splice(0, 3);
    return parts.every(part => part < 256) ? parts.join(', ') : null;
  }
  const number = kind === 5 ? codes.shift() : undefined;
  if (number === undefined || number > 255) {
    return null;
  }
  if (number < 16) {
    return number;
  }
  if (number >= 232) {
    return Array(3).fill(8 + 10 * (number - 232)).join(', ');
  }
  const place = number - 16; // in a cube of six steps
  return [Math.floor(place / 36), Math.floor(place / 6) % 6, place % 6].map(step => (step ? 55 + 40 * step : 0)).join(', ');
}
