export type Fields = Record<string, unknown>;

/** The fields of an object, none for anything else: nothing that a VMM says is taken on trust. */
export function asFields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}

/** A text for people, bounded; empty for anything else. */
export const asText = (value: unknown): string => (typeof value === 'string' ? value.slice(0, 1000) : '');
