import { type DialLoopback, Link, type RunningRoute } from './link.ts';
import { Refusal } from './refusal.ts';

/** The links of one door, each made when its sandbox is first asked for. */
export type Links = {
  /** Throws a 429 refusal when the sandbox has as many connections as it may have. */
  to(route: RunningRoute): Link;
  /** Cuts every connection that has to do with the sandbox. */
  drop(sandboxId: string): void;
  dropAll(): void;
};

export function createLinks(options: { dialLoopback: DialLoopback; maxConnections: number }): Links {
  const links = new Map<string, Link>();
  const drop = (sandboxId: string) => {
    const link = links.get(sandboxId);
    links.delete(sandboxId);
    link?.cut();
  };
  return {
    to(route) {
      const { sandboxId } = route;
      const known = links.get(sandboxId);
      if (known?.leadsTo(route)) {
        if (known.clients.size < options.maxConnections) return known;
        throw new Refusal({ sandboxId, message: 'The sandbox has too many connections', code: 429 });
      }
      drop(sandboxId);
      const link = new Link(route, options.dialLoopback);
      links.set(sandboxId, link);
      return link;
    },
    drop,
    dropAll() {
      for (const sandboxId of [...links.keys()]) drop(sandboxId);
    },
  };
}
