import { readFileSync } from 'node:fs';
import type { Identity } from './guest.ts';
import { isRecord, textRecord } from './http/json.ts';
import { logLine } from './log.ts';

/** The identity before `/init`: what the template says, or what an envd before this one was told. */
export function readIdentity(configFile: string, stateFile: string): Identity {
  const config = readJson(configFile);
  const state = stateFile ? readJson(stateFile) : {};
  const text = (key: string, source = state) =>
    typeof source[key] === 'string' && source[key] !== '' ? source[key] : undefined;
  return {
    accessToken: text('accessToken'),
    env: { ...textRecord(config.env), ...textRecord(state.env) },
    defaultUser: text('defaultUser') ?? text('defaultUser', config) ?? 'user',
    defaultWorkdir: text('defaultWorkdir') ?? text('defaultWorkdir', config),
    sandboxId: text('sandboxId'),
    templateId: text('templateId'),
    eventsAddress: text('eventsAddress'),
  };
}

function readJson(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return {}; // both files are optional
  }
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value)) return value;
  } catch {
    // reported below
  }
  logLine(`${file} is not a JSON object and is ignored`);
  return {};
}
