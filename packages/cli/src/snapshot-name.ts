import type { SnapshotListing } from '@sandbox-backend/sdk';

/** The name by which people start sandboxes from it; the protocol's tag says nothing here. */
export const snapshotName = ({ snapshotID }: Pick<SnapshotListing, 'snapshotID'>): string =>
  snapshotID.replace(/:default$/, '');
