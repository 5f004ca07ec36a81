import { asFields, type Fields } from '../control/fields.ts';
import type { FakeAnswer, FakeApi, FakeFiles } from '../testing/fake-vmm-program.ts';

type Phase = 'none' | 'Created' | 'Running' | 'Paused';

const fault = (...chain: string[]): FakeAnswer => ({ status: 500, body: ['Error from API', ...chain] });
const DONE: FakeAnswer = { status: 204 };
const NOT_CREATED = 'VM is not created';

/** The rules of Cloud Hypervisor's API as far as the driver meets them. */
export function fakeCloudHypervisor(files: FakeFiles): FakeApi {
  let phase: Phase = 'none';
  let config: Fields = {};

  const step = (wanted: Phase, next: Phase, refusal: string): FakeAnswer => {
    if (phase !== wanted) return fault(refusal, phase === 'none' ? NOT_CREATED : `VM is ${phase}`);
    phase = next;
    return DONE;
  };
  const folderOf = (url: unknown) => String(url).replace(/^file:\/\//, '');

  const verbs: Record<string, (body: Fields) => FakeAnswer> = {
    'vm.create': (body) => {
      if (asFields(body.payload).kernel === undefined)
        return fault('The VM could not be created', 'no payload');
      config = body;
      return step('none', 'Created', 'The VM could not be created');
    },
    'vm.boot': () => step('Created', 'Running', 'The VM could not boot'),
    'vm.pause': () => step('Running', 'Paused', 'The VM could not be paused'),
    'vm.resume': () => step('Paused', 'Running', 'The VM could not resume'),
    'vm.snapshot': (body) => {
      if (phase !== 'Paused') return fault('The VM could not be snapshotted', NOT_CREATED);
      const folder = folderOf(body.destination_url);
      if (!files.exists(folder)) return fault('The VM could not be snapshotted', 'No such file or directory');
      if (files.exists(`${folder}/config.json`))
        return fault('The VM could not be snapshotted', 'File exists');
      files.write(`${folder}/config.json`, JSON.stringify(config));
      files.write(`${folder}/state.json`, '{}');
      return DONE;
    },
    'vm.restore': (body) => {
      const folder = folderOf(body.source_url);
      if (!files.exists(`${folder}/config.json`))
        return fault('The VM could not be restored', 'No such file');
      config = asFields(JSON.parse(files.read(`${folder}/config.json`)));
      if (asFields(config.payload).kernel === undefined)
        return fault('The VM could not be restored', 'no payload');
      return step('none', 'Paused', 'The VM could not be restored');
    },
  };

  return (method, path, text) => {
    const verb = path.replace(/^\/api\/v1\//, '');
    if (method === 'GET' && verb === 'vmm.ping') return { status: 200, body: { version: 'v53.0' } };
    if (method === 'GET' && verb === 'vm.info') {
      if (phase === 'none') return fault('The VM info is not available', NOT_CREATED);
      return { status: 200, body: { state: phase, config } };
    }
    const run = method === 'PUT' ? verbs[verb] : undefined;
    return run ? run(asFields(text === '' ? {} : JSON.parse(text))) : { status: 404, body: ['Not found'] };
  };
}
