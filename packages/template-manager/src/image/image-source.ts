import type { Readable } from 'node:stream';

/** What an image says about the programs that run in it. */
export type ImageConfig = {
  env: Record<string, string>;
  user: string;
  workdir: string;
  entrypoint: string[];
  cmd: string[];
};

export type ImageLayer = {
  mediaType: string;
  digest: string;
  size: number;
  /** The tar as it is stored, compressed or not. The stream fails when its end shows another digest. */
  open(): Readable;
};

/** An image on this host, ready to be unpacked; the lowest layer first. */
export type ImageSource = {
  /** Names the content: two sources with one digest unpack to the same. */
  digest: string;
  /** Made from Debian packages by us, and not by someone else's Dockerfile. */
  isBase: boolean;
  config: ImageConfig;
  layers: ImageLayer[];
};
