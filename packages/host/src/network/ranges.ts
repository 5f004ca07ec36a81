/**
 * IPv4 that is not the internet: this host's surroundings, cloud metadata (169.254.169.254), other
 * guests, and what the IANA special-purpose registry reserves, but for ranges that some networks do route.
 */
export const NOT_INTERNET = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/3',
] as const;
