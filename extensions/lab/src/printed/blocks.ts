import { wholeBefore } from './ansi';

const SIZE = 32_768; // characters: some hundred lines
const LONGEST_LINE = 65_536;

/** Text in pieces of some 32,000 characters that end with a line; the last of them may go on. */
export function pieces(text: string): string[] {
  const found: string[] = [];
  let at = 0;
  while (text.length - at > SIZE) {
    let end = text.lastIndexOf('\n', at + SIZE - 1) + 1;
    if (end <= at) {
      end = text.indexOf('\n', at + SIZE) + 1 || Infinity; // one line is longer than a piece
      if (end > at + LONGEST_LINE) {
        if (text.length < at + LONGEST_LINE) {
          break;
        }
        end = wholeBefore(text, at + LONGEST_LINE);
      }
    }
    found.push(text.slice(at, end));
    at = end;
  }
  found.push(text.slice(at));
  return found;
}

export function linesIn(text: string): number {
  let lines = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) {
    lines++;
  }
  return lines;
}
