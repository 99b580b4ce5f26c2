import { LanguageSupport, LRLanguage } from '@codemirror/language';
import { parseMixed } from '@lezer/common';

import { duckdb } from './dialect';

/** The line of the magic with all its options; IPython takes blank lines and an indentation before it. */
const MAGIC_LINE = /^\s*%%sql(?=\s)[^\n]*\n/;
const LONGEST_MAGIC_LINE = 4096;

/** The same Python, but what follows a leading `%%sql` line is read, coloured and indented as SQL. */
export function withSqlCells(python: LanguageSupport): LanguageSupport {
  if (!(python.language instanceof LRLanguage)) {
    return python; // some other extension brought an editor mode of another make: leave it alone
  }
  const language = python.language.configure({
    wrap: parseMixed((node, input) => {
      if (!node.type.isTop) {
        return null;
      }
      const magic = MAGIC_LINE.exec(input.read(0, Math.min(input.length, LONGEST_MAGIC_LINE)));
      if (magic === null || magic[0].length >= input.length) {
        return null;
      }
      return { parser: duckdb.language.parser, overlay: [{ from: magic[0].length, to: input.length }] };
    })
  });
  return new LanguageSupport(language, python.support);
}
