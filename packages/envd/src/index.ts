export { ENVD_VERSION } from '@sandbox-backend/protocol';
