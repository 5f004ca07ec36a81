export { BUILD_FILES, INSIDE, paths } from './builds/paths.ts';
export { freezeFiles, publishBuild, removeOldBuilds } from './builds/publish.ts';
export { type Build, currentBuild, findTemplate, listTemplates, readBuild } from './builds/read.ts';
export { openWorkFolder, type WorkFolder } from './builds/work-folder.ts';
export { type HostConfig, invalidSetting, readCount, readHostConfig, readOneOf } from './config.ts';
export { type GuestIdentity, initGuest, waitForGuest } from './envd/init.ts';
export { checkEnvd, ENVD_PORT, requestEnvd } from './envd/request.ts';
export { type GuestResult, runInGuest } from './envd/run.ts';
export { disksOf, disksOfBuild, hardwareOf, kernelCommandLine, writableDisk } from './hardware.ts';
export { openHost } from './open.ts';
export { discardMachine, recoverMachine } from './recover.ts';
export {
  isOwnedByOther,
  type MachineRecord,
  machineDirectory,
  readRecords,
  type SandboxRecord,
  thisProcess,
  writeRecord,
} from './ref.ts';
export { type HeldMachine, type MachineDeps, machineLimits, restoreMachine } from './restore.ts';
export { openVmms, type Vmms, type VmmType, vmmsOf, withHypervisor } from './vmms.ts';
