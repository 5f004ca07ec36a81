export * from './image/image-source.ts';
export { type ResolveOptions, resolveImage } from './image/resolve.ts';
export { buildRootfs, findCachedRootfs, type Rootfs, type RootfsSpec } from './rootfs/build.ts';
export { pruneCache } from './rootfs/prune.ts';
export { readEnvironmentFile } from './spec/environment-file.ts';
export { loadTemplateSpec } from './spec/load.ts';
export { type ParsedSpec, parseTemplateSpec } from './spec/parse.ts';
export * from './spec/template-spec.ts';
