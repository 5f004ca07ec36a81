export * from './image/image-source.ts';
export { type ResolveOptions, resolveImage } from './image/resolve.ts';
export { buildRootfs, findCachedRootfs, type Rootfs, type RootfsSpec } from './rootfs/build.ts';
export { pruneCache } from './rootfs/prune.ts';
