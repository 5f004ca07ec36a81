import assert from 'node:assert/strict';
import test from 'node:test';
import { findHierarchies } from './hierarchies.ts';

test('finds v1, v2 and both', () => {
  const line = (mountPoint: string, type: string, options: string) =>
    `30 24 0:26 / ${mountPoint} rw,nosuid shared:9 - ${type} ${type} ${options}`;
  assert.deepEqual(findHierarchies(''), { v1: {} });
  assert.deepEqual(findHierarchies(line('/sys/fs/cgroup', 'cgroup2', 'rw,nsdelegate')), {
    v1: {},
    v2: '/sys/fs/cgroup',
  });
  const hybrid = [
    line('/sys/fs/cgroup/memory', 'cgroup', 'rw,memory'),
    line('/sys/fs/cgroup/cpu,cpuacct', 'cgroup', 'rw,cpu,cpuacct'),
    line('/sys/fs/cgroup/systemd', 'cgroup', 'rw,xattr,name=systemd'),
    line('/sys/fs/cgroup/unified', 'cgroup2', 'rw'),
    line('/with\\040space', 'cgroup', 'rw,pids'),
  ].join('\n');
  assert.deepEqual(findHierarchies(hybrid), {
    v1: {
      memory: '/sys/fs/cgroup/memory',
      cpu: '/sys/fs/cgroup/cpu,cpuacct',
      cpuacct: '/sys/fs/cgroup/cpu,cpuacct',
      pids: '/with space',
    },
    v2: '/sys/fs/cgroup/unified',
  });
});
