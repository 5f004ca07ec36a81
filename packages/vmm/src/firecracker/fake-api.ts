import { asFields, type Fields } from '../control/fields.ts';
import type { FakeAnswer, FakeApi, FakeFiles } from '../testing/fake-vmm-program.ts';

type Phase = 'Not started' | 'Running' | 'Paused';

/** What 1.16 takes; it refuses any other field (swagger/firecracker.yaml and `deny_unknown_fields` in src/vmm). */
const BEFORE: Record<string, string[]> = {
  '/serial': ['serial_out_path', 'rate_limiter'],
  '/machine-config': ['vcpu_count', 'mem_size_mib', 'smt', 'track_dirty_pages', 'huge_pages', 'cpu_template'],
  '/boot-source': ['kernel_image_path', 'initrd_path', 'boot_args'],
  '/drives': [
    ...['drive_id', 'path_on_host', 'is_root_device', 'is_read_only', 'cache_type', 'io_engine'],
    ...['rate_limiter', 'partuuid', 'socket'],
  ],
  '/network-interfaces': [
    'iface_id',
    'host_dev_name',
    'guest_mac',
    'mtu',
    'rx_rate_limiter',
    'tx_rate_limiter',
  ],
  '/entropy': ['rate_limiter'],
  '/balloon': [
    ...[
      'amount_mib',
      'deflate_on_oom',
      'stats_polling_interval_s',
      'free_page_reporting',
      'free_page_hinting',
    ],
  ],
  '/snapshot/load': [
    ...[
      'snapshot_path',
      'mem_file_path',
      'mem_backend',
      'enable_diff_snapshots',
      'track_dirty_pages',
      'resume_vm',
    ],
    ...['network_overrides', 'vsock_override', 'clock_realtime'],
  ],
};
const UPDATE_DRIVE = ['drive_id', 'path_on_host', 'rate_limiter'];
const CREATE = ['snapshot_type', 'snapshot_path', 'mem_file_path'];

const fault = (message: string, exit?: number): FakeAnswer => ({
  status: 400,
  body: { fault_message: message },
  ...(exit === undefined ? {} : { exit }),
});
const AFTER = 'The requested operation is not supported after starting the microVM.';
const EARLY = 'The requested operation is not supported before starting the microVM.';
const DONE: FakeAnswer = { status: 204 };

/** The rules of Firecracker's API as far as the driver meets them. */
export function fakeFirecracker(files: FakeFiles): FakeApi {
  let phase: Phase = 'Not started';
  let drives: Fields[] = [];

  return (method, path, text) => {
    if (method === 'GET') {
      if (path === '/')
        return { status: 200, body: { app_name: 'Firecracker', state: phase, vmm_version: '1.16.1' } };
      if (path === '/version') return { status: 200, body: { firecracker_version: '1.16.1' } };
      return path === '/vm/config'
        ? { status: 200, body: { drives } }
        : fault(`Invalid request method and/or path: ${path}.`);
    }
    if (text === '') return fault('Empty PUT/PATCH request.');
    const body = parse(text);
    if (!body) return fault('An error occurred when deserializing the json body of a request');
    const resource = path.replace(/^(\/(?:drives|network-interfaces))\/[^/]+$/, '$1');
    if (method === 'PUT' && resource in BEFORE) return before(resource, body);
    if (method === 'PUT' && path === '/actions') return start(body);
    if (method === 'PUT' && path === '/snapshot/create') return create(body);
    if (method === 'PATCH' && resource === '/drives') return updateDrive(body);
    return method === 'PATCH' && path === '/vm'
      ? setState(body)
      : fault(`Invalid request method and/or path: ${path}.`);
  };

  function before(resource: string, body: Fields): FakeAnswer {
    const unknown = Object.keys(body).find((name) => !BEFORE[resource]!.includes(name));
    if (unknown) return fault(`unknown field \`${unknown}\``);
    if (phase !== 'Not started') return fault(AFTER);
    if (resource === '/drives') {
      if (!files.exists(String(body.path_on_host)))
        return fault('Unable to create the block device: No such file');
      drives.push({ drive_id: body.drive_id, path_on_host: body.path_on_host });
    }
    return resource === '/snapshot/load' ? load(body) : DONE;
  }

  function load(body: Fields): FakeAnswer {
    const file = String(body.snapshot_path);
    // It may be half loaded by now: the real one ends as well.
    if (!files.exists(file)) return fault('Load snapshot error: Failed to get snapshot state from file', 1);
    const saved = asFields(JSON.parse(files.read(file))).drives;
    drives = Array.isArray(saved) ? saved.map(asFields) : [];
    phase = body.resume_vm === true ? 'Running' : 'Paused';
    return DONE;
  }

  function start(body: Fields): FakeAnswer {
    if (body.action_type !== 'InstanceStart') return fault('unknown action');
    if (phase !== 'Not started') return fault(AFTER);
    phase = 'Running';
    return DONE;
  }

  function create(body: Fields): FakeAnswer {
    const unknown = Object.keys(body).find((name) => !CREATE.includes(name));
    if (unknown) return fault(`unknown field \`${unknown}\``);
    if (phase === 'Not started') return fault(EARLY);
    if (phase === 'Running') return fault('Create snapshot error: save/restore unavailable while running');
    files.write(String(body.snapshot_path), JSON.stringify({ drives }));
    if (!files.exists(String(body.mem_file_path))) files.write(String(body.mem_file_path), 'memory');
    return DONE;
  }

  function updateDrive(body: Fields): FakeAnswer {
    const unknown = Object.keys(body).find((name) => !UPDATE_DRIVE.includes(name));
    if (unknown) return fault(`unknown field \`${unknown}\``);
    if (phase === 'Not started') return fault(EARLY);
    return drives.some(({ drive_id }) => drive_id === body.drive_id)
      ? DONE
      : fault('Invalid block device ID!');
  }

  function setState(body: Fields): FakeAnswer {
    if (body.state !== 'Paused' && body.state !== 'Resumed') return fault('unknown variant');
    if (phase === 'Not started') return fault(EARLY);
    phase = body.state === 'Paused' ? 'Paused' : 'Running';
    return DONE;
  }
}

function parse(text: string): Fields | undefined {
  try {
    return asFields(JSON.parse(text));
  } catch {
    return undefined;
  }
}
