export { ENVD_VERSION } from './version.ts';
