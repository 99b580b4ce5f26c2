import { PostgreSQL, SQLDialect } from '@codemirror/lang-sql';
import { styleTags, tags } from '@lezer/highlight';

import { KEYWORDS, TYPES } from './words';

/** DuckDB's SQL, as far as colours go. */
export const duckdb = SQLDialect.define({
  ...PostgreSQL.spec,
  keywords: KEYWORDS,
  types: TYPES,
  builtin: '',
  caseInsensitiveIdentifiers: true,
  doubleDollarQuotedStrings: false, // the tokenizer cannot have both, and `$name` is how a parameter is written here
  specialVar: '$'
}).configureLanguage({
  // JupyterLab's themes have no colour for what these two are by default.
  props: [styleTags({ SpecialVar: tags.special(tags.variableName), Type: tags.standard(tags.variableName) })]
});
