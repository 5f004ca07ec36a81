/**
 * Times the phases of a cold start of a sandbox, as the server reports them, and the memory of one that is idle.
 * Prints the medians as JSON.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { startServer } from '../harness/server.ts';

const ROUNDS = 9;

await using server = await startServer();
const headers = { 'X-API-KEY': server.apiKey, 'Content-Type': 'application/json', 'X-Sandbox-Cold': '1' };
const samples: Record<string, number>[] = [];
const memoryMib: number[] = [];
for (let round = 0; round < ROUNDS; round++) {
  const response = await fetch(`${server.apiUrl}/sandboxes`, {
    method: 'POST',
    headers,
    body: JSON.stringify({ templateID: 'default-sandbox', timeout: 120 }),
  });
  if (response.status !== 201)
    throw new Error(`create answered ${response.status}: ${await response.text()}`);
  const { sandboxID } = (await response.json()) as { sandboxID: string };
  samples.push(readTiming(response.headers.get('server-timing') ?? ''));
  await sleep(1000);
  const status = (await (await fetch(`${server.apiUrl}/status`, { headers })).json()) as {
    sandboxes: { sandboxId: string; pid: number }[];
  };
  const pid = status.sandboxes.find((row) => row.sandboxId === sandboxID)!.pid;
  const pss = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1];
  memoryMib.push(Number(pss) / 1024);
  await fetch(`${server.apiUrl}/sandboxes/${sandboxID}`, { method: 'DELETE', headers });
}
const names = Object.keys(samples[0] ?? {});
const phases = Object.fromEntries(
  names.map((name) => [name, median(samples.map((sample) => sample[name] ?? 0))]),
);
// Of the host, or of the rig's machine: only figures of one boot are compared.
const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
console.log(JSON.stringify({ boot, rounds: ROUNDS, phases, pssMib: median(memoryMib) }));

/** `vmm-start;dur=12.3, …` */
function readTiming(header: string): Record<string, number> {
  const entries = [...header.matchAll(/([\w-]+)(?:;desc="([^"]*)")?;dur=([\d.]+)/g)];
  return Object.fromEntries(
    entries.map(([, name = '', description, ms]) => [description ?? name, Number(ms)]),
  );
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
