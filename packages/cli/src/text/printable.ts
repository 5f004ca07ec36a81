/**
 * The text with control characters made visible. Names, metadata and logs come from guests and
 * strangers, and a terminal obeys escape sequences, whoever wrote them.
 */
export const printable = (text: string): string => text.replace(CONTROL, escapeCharacter);

/** The same for a text of several lines. */
export const printableLines = (text: string): string =>
  text.replace(CONTROL, (character) => (character === '\n' ? '\n' : escapeCharacter(character)));

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

function escapeCharacter(character: string): string {
  const code = character.charCodeAt(0);
  return code > 0xff ? `\\u${code.toString(16)}` : `\\x${code.toString(16).padStart(2, '0')}`;
}
