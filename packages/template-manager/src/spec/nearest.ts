/** The known name that was probably meant: it differs in case, an underscore, an ending or a few letters. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const wanted = normalize(name);
  if (wanted === '' || wanted.length > 100) return undefined;
  const scored = known
    .map((candidate) => ({ candidate, score: score(wanted, normalize(candidate)) }))
    .sort((a, b) => a.score - b.score);
  const [best] = scored;
  return best && best.score <= Math.max(2, Math.ceil(wanted.length / 3)) ? best.candidate : undefined;
}

const normalize = (name: string) => name.toLowerCase().replaceAll(/[_-]/g, '');

function score(a: string, b: string): number {
  if (a.length >= 3 && b.length >= 3 && (a.startsWith(b) || b.startsWith(a))) {
    return Math.abs(a.length - b.length) / 100; // of several, the one that has most of it
  }
  return editDistance(a, b);
}

/** Letters added, left out, changed or swapped with their neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, column) => column)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, rows[i - 2]![j - 2]! + 1);
      }
      row.push(best);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
