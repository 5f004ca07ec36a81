import assert from 'node:assert/strict';

export type ParsedSample = { name: string; labels: Record<string, string>; value: number };
export type ParsedFamily = { type: string; help: string; samples: ParsedSample[] };

/**
 * A strict reader of the text format 0.0.4, written from its description and not from our writer: each family
 * once, HELP and TYPE before its samples, no series twice, counters named `_total`, histograms that add up.
 */
export function parsePrometheus(text: string): Map<string, ParsedFamily> {
  assert.ok(text === '' || text.endsWith('\n'), 'the last line ends with a line feed');
  const families = new Map<string, ParsedFamily>();
  const series = new Set<string>();
  let current: { name: string; family: ParsedFamily } | undefined;
  for (const line of text.split('\n').slice(0, -1)) {
    const [, keyword, name, rest] = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/.exec(line) ?? [];
    if (keyword === 'HELP') {
      assert.ok(!families.has(name!), `${name} comes twice`);
      current = { name: name!, family: { type: '', help: rest!, samples: [] } };
      families.set(name!, current.family);
    } else if (keyword === 'TYPE') {
      assert.equal(name, current?.name, `TYPE of ${name} follows its HELP`);
      assert.match(rest!, /^(counter|gauge|histogram)$/);
      current!.family.type = rest!;
    } else {
      const sample = parseSample(line);
      assert.ok(current?.family.type, `${line} comes after HELP and TYPE`);
      const suffixes = current.family.type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
      assert.ok(
        suffixes.some((suffix) => sample.name === current!.name + suffix),
        `${line} is of ${current.name}`,
      );
      const key = JSON.stringify([sample.name, Object.entries(sample.labels).sort()]);
      assert.ok(!series.has(key), `${line} comes twice`);
      series.add(key);
      current.family.samples.push(sample);
    }
  }
  for (const [name, family] of families) checkFamily(name, family);
  return families;
}

function parseSample(line: string): ParsedSample {
  const [, name, labels, value] =
    /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? assert.fail(`not a sample: ${line}`);
  assert.match(value!, /^([+-]?(\d+(\.\d+)?([eE][+-]?\d+)?|Inf)|NaN)$/, line);
  const number = Number(value!.replace('Inf', 'Infinity'));
  return { name: name!, labels: parseLabels(labels ?? '', line), value: number };
}

function parseLabels(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  let rest = text;
  while (rest !== '') {
    const [whole, name, value] =
      /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(?:,|$)/.exec(rest) ??
      assert.fail(`labels of ${line}`);
    assert.ok(!(name! in labels), `${name} twice in ${line}`);
    labels[name!] = value!.replace(/\\(.)/g, (_, escaped) => (escaped === 'n' ? '\n' : escaped));
    rest = rest.slice(whole.length);
  }
  return labels;
}

function checkFamily(name: string, { type, samples }: ParsedFamily): void {
  assert.notEqual(type, '', `${name} has a type`);
  if (type === 'counter') assert.match(name, /_total$/, 'counters are called _total');
  else assert.doesNotMatch(name, /_total$/);
  if (type !== 'histogram') return;
  const groups = Map.groupBy(samples, ({ labels: { le: _, ...labels } }) => JSON.stringify(labels));
  for (const group of groups.values()) {
    const buckets = group.filter((sample) => sample.name.endsWith('_bucket'));
    const bounds = buckets.map(({ labels }) => Number(labels.le?.replace('Inf', 'Infinity')));
    assert.deepEqual(
      bounds,
      bounds.toSorted((a, b) => a - b),
    );
    assert.equal(bounds.at(-1), Infinity);
    const counts = buckets.map(({ value }) => value);
    assert.deepEqual(
      counts,
      counts.toSorted((a, b) => a - b),
      `${name} is cumulative`,
    );
    assert.equal(counts.at(-1), group.find((sample) => sample.name.endsWith('_count'))?.value);
    assert.ok(group.some((sample) => sample.name.endsWith('_sum')));
  }
}
