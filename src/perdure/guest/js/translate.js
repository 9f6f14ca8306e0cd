// TypeScript and JSX become JavaScript: in an instance of this image that does nothing else, and knows no worker.
//
// `sucrase` does it: lines stay where they are, types are dropped and not checked.
import { transform } from "sucrase";

const { stringify } = JSON;
const TRANSFORMS = { jsx: ["jsx"], ts: ["typescript"], tsx: ["typescript", "jsx"] };
const FACTORY = /^\s*\/\*\*?\s*@jsx\s+([\w.$]+)/m;
const FRAGMENT = /@jsxFrag\s+([\w.$]+)/;
const SOURCE = /@jsxImportSource\s+([^\s*]+)/;
const HEAD_CHARACTERS = 2_000; // where such comments are looked for
const PLACE = / \((\d+):(\d+)\)$/;

/** The reply to TRANSLATE: `{ ok: source }`, or `{ error: { message, line, column } }`. */
export function translate({ kind, text }) {
  const transforms = TRANSFORMS[kind];
  if (transforms === undefined) throw new TypeError(`\`${kind}\` is no kind of source that can be translated`);
  try {
    return stringify({ ok: transform(text, { transforms, disableESTransforms: true, production: true, ...jsxOf(text) }).code });
  } catch (error) {
    if (error instanceof RangeError) return stringify({ error: { message: "this source is nested too deeply", line: 1, column: 1 } });
    if (!(error instanceof SyntaxError)) throw error;
    const [, line, column] = PLACE.exec(error.message) ?? [undefined, 1, 1];
    const message = error.message.replace(PLACE, "").replace("Error transforming sample.tsx: ", "");
    return stringify({ error: { message, line: Number(line), column: Number(column) } });
  }
}

/** What comments at the top of a file say of its JSX; the automatic runtime otherwise. */
function jsxOf(text) {
  const head = text.slice(0, HEAD_CHARACTERS);
  const factory = FACTORY.exec(head)?.[1];
  if (factory !== undefined) {
    return { jsxRuntime: "classic", jsxPragma: factory, jsxFragmentPragma: FRAGMENT.exec(head)?.[1] ?? `${factory}.Fragment` };
  }
  const source = SOURCE.exec(head)?.[1];
  return source === undefined ? { jsxRuntime: "automatic" } : { jsxRuntime: "automatic", jsxImportSource: source };
}
