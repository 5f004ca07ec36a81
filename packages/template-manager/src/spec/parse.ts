import { parseJson } from './json.ts';
import type { TemplateSpec } from './template-spec.ts';
import { parseToml } from './toml.ts';

export type ParsedSpec = {
  spec: TemplateSpec;
  /** What was accepted without effect, as sentences for the user. */
  warnings: string[];
  /** The data folder, where the file names one. */
  dataRoot?: string;
};

/**
 * Reads a template specification, in the seed's JSON or in the TOML of its later form.
 *
 * Errors: `invalid_argument`, naming every field that is unknown or wrong.
 */
export function parseTemplateSpec(text: string, options: { format: 'json' | 'toml' }): ParsedSpec {
  const withoutMark = text.replace(/^\uFEFF/, '');
  return options.format === 'toml' ? parseToml(withoutMark) : parseJson(withoutMark);
}
