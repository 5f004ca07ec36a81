import { SandboxError } from '@sandbox-backend/protocol';
import type { DiskSpec, Hardware } from '../vmm.ts';

/**
 * What is sent to Firecracker's API, each body with fields that 1.16 knows: it refuses a body with any other
 * (`src/firecracker/swagger/firecracker.yaml`).
 */
export type ApiRequest = { method: 'PUT' | 'PATCH'; path: string; body: object };

export type FirecrackerPaths = {
  /** All as the VMM process sees them. */
  console: string;
  /** In the order of the hardware's disks. The same in every room: a snapshot remembers them. */
  drives: readonly string[];
};

export const INTERFACE_ID = 'eth0';

/** The guest's console may grow by this much a second; what is beyond is dropped. */
const CONSOLE_BYTES_PER_SECOND = 64 * 1024;

/** A console is asked for anew in each process: a snapshot does not hold it. */
export const consoleRequest = (path: string): ApiRequest => ({
  method: 'PUT',
  path: '/serial',
  body: {
    serial_out_path: path,
    rate_limiter: {
      size: CONSOLE_BYTES_PER_SECOND,
      one_time_burst: 4 * CONSOLE_BYTES_PER_SECOND,
      refill_time: 1000,
    },
  },
});

export function bootRequests(
  hardware: Hardware,
  paths: FirecrackerPaths,
  guest: { kernel: string; initrd: string; commandLine: string },
): ApiRequest[] {
  const put = (path: string, body: object): ApiRequest => ({ method: 'PUT', path, body });
  return [
    consoleRequest(paths.console),
    put('/machine-config', { vcpu_count: hardware.vcpus, mem_size_mib: hardware.memoryMib, smt: false }),
    put('/boot-source', {
      kernel_image_path: guest.kernel,
      initrd_path: guest.initrd,
      boot_args: guest.commandLine,
    }),
    ...hardware.disks.map((disk, index) => put(`/drives/${disk.id}`, drive(disk, paths.drives[index]!))),
    put(`/network-interfaces/${INTERFACE_ID}`, {
      iface_id: INTERFACE_ID,
      host_dev_name: hardware.network.tap,
      guest_mac: hardware.network.mac,
    }),
    put('/entropy', {}),
    // What the guest frees goes back to the host; nothing is ever asked back.
    put('/balloon', {
      amount_mib: 0,
      deflate_on_oom: true,
      stats_polling_interval_s: 0,
      free_page_reporting: true,
    }),
    put('/actions', { action_type: 'InstanceStart' }),
  ];
}

function drive(disk: DiskSpec, path: string): object {
  if (disk.format !== 'raw') {
    throw new SandboxError(
      'invalid_argument',
      `Firecracker has raw disks only; ${disk.id} is ${disk.format}`,
    );
  }
  return {
    drive_id: disk.id,
    path_on_host: path,
    is_root_device: false,
    is_read_only: disk.readOnly,
    // The host's page cache is enough: a disk is as durable as the sandbox that has it.
    cache_type: 'Unsafe',
    io_engine: 'Sync',
  };
}

export const loadRequest = (files: { stateFile: string; memoryFile: string }, tap: string): ApiRequest => ({
  method: 'PUT',
  path: '/snapshot/load',
  body: {
    snapshot_path: files.stateFile,
    mem_backend: { backend_type: 'File', backend_path: files.memoryFile },
    resume_vm: false,
    network_overrides: [{ iface_id: INTERFACE_ID, host_dev_name: tap }],
  },
});

/** A snapshot has the limits of the machine that it was taken of, so that each one is told. */
export const limitRequests = ({ disks, diskBytesPerSecond }: Hardware): ApiRequest[] =>
  disks.map(({ id }) => ({
    method: 'PATCH',
    path: `/drives/${id}`,
    body: {
      drive_id: id,
      rate_limiter: {
        // A bucket of size 0 is no limit.
        bandwidth: { size: diskBytesPerSecond ?? 0, refill_time: diskBytesPerSecond ? 1000 : 0 },
      },
    },
  }));

export const saveRequest = (
  kind: 'Full' | 'Diff',
  files: { stateFile: string; memoryFile: string },
): ApiRequest => ({
  method: 'PUT',
  path: '/snapshot/create',
  body: { snapshot_type: kind, snapshot_path: files.stateFile, mem_file_path: files.memoryFile },
});

export const setState = (state: 'Paused' | 'Resumed'): ApiRequest => ({
  method: 'PATCH',
  path: '/vm',
  body: { state },
});
