/** Bytes as people read them, in binary units: `512 MiB`, `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

export const formatMebibytes = (mebibytes: number | undefined) =>
  mebibytes === undefined ? '-' : formatBytes(mebibytes * 1024 * 1024);
