/** The level of the protocol that envd speaks; the E2B SDKs turn features on and off by it. */
export const ENVD_VERSION = '0.6.13';
