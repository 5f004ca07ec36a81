export {
  type Cgroup,
  type CgroupLimits,
  type CgroupStats,
  openCgroup,
} from './cgroups/cgroup.ts';
export { recreateParentCgroup } from './cgroups/recreate.ts';
export { type ClonedDisk, type CloneSpec, cloneDisk, copySparse, diskSize } from './disks/clone.ts';
export { type FlattenSpec, flattenDisk } from './disks/flatten.ts';
export { freeBytes } from './disks/free-bytes.ts';
export { type DiskFormat, type Qcow2Overlay, qcow2Header } from './disks/qcow2.ts';
export { canReflink } from './disks/reflink.ts';
export { makeReflinkVolume, type ReflinkVolume } from './disks/reflink-volume.ts';
export { type InspectHostOptions, inspectHost } from './doctor/inspect-host.ts';
export type { Finding } from './doctor/judge.ts';
export * from './host.ts';
export { type HostRoom, openRoom } from './jail/room.ts';
export { openSlotPool, type SlotPoolOptions } from './network/pool.ts';
