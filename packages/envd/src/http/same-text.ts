/** Compares a secret; the time taken depends on the length of `given` alone. */
export function sameText(given: string, secret: string): boolean {
  let difference = given.length ^ secret.length;
  for (let index = 0; index < given.length; index++) {
    difference |= given.charCodeAt(index) ^ secret.charCodeAt(index % secret.length || 0);
  }
  return difference === 0;
}
