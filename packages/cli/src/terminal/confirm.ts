/** Asks on standard error; only a line that begins with y is a yes, and the end of input is a no. */
export async function confirm(question: string, input: NodeJS.ReadStream = process.stdin): Promise<boolean> {
  process.stderr.write(`${question} (y/n) `);
  let answer = '';
  for await (const chunk of input.setEncoding('utf8') as AsyncIterable<string>) {
    answer += chunk;
    if (answer.includes('\n') || answer.length > 1000) break;
  }
  if (!answer.includes('\n')) process.stderr.write('\n');
  return /^\s*y(es)?\s*$/i.test(answer.split('\n')[0] ?? '');
}
