import type { TemplateListing } from '@sandbox-backend/sdk';

/** The name by which people start sandboxes from it. */
export const templateName = ({ names, aliases, templateID }: TemplateListing): string =>
  names?.[0] ?? aliases?.[0] ?? templateID;

export const isCalled = (template: TemplateListing, name: string): boolean =>
  [template.templateID, ...(template.names ?? []), ...(template.aliases ?? [])].includes(name);
