export { type NodeOptions, openNode } from './node.ts';
