import assert from 'node:assert/strict';
import test from 'node:test';
import { isInternalRoute } from './internal-route.ts';

for (const path of [
  '/init',
  '/init/',
  '//init',
  '/./init',
  '/x/../init',
  '/../init',
  '/%69nit',
  '/%2569nit',
  '/%25%36%39nit',
  '/%zz/../init',
  '/%2finit',
  '/%2e/init',
  '/x/%2e%2e/init',
  '\\init',
  '/\\init',
  '/%5cinit',
  '/INIT',
  '/init?x=1',
  '/init;v=1',
  '/init%3fx',
  '/init%20',
  '/init/anything',
  '/freeze',
  '/unfreeze',
  '/collapse',
  '/fsfreeze',
  '/fsthaw',
  '/upgrade',
  '/start',
  '/ready',
  '/tunnel?port=22',
]) {
  test(`${path} is internal`, () => assert.ok(isInternalRoute(path)));
}

for (const path of [
  '/',
  '',
  '*',
  '/health',
  '/files?path=/init',
  '/initialize',
  '/files/init',
  '/process.Process/Start',
  '/init/../health',
  '/metrics',
  '/%',
]) {
  test(`${path} is not internal`, () => assert.ok(!isInternalRoute(path)));
}
