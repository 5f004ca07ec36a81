export const print = (text: string) => void process.stdout.write(`${text}\n`);

export const printJson = (value: unknown) => print(JSON.stringify(value, null, 2));

/** What is for the person at the terminal and no part of the result. */
export const note = (text: string) => void process.stderr.write(`${text}\n`);
