import { randomBytes } from 'node:crypto';
import { SandboxError } from '@sandbox-backend/protocol';
import type { Control, Envd } from '@sandbox-backend/sdk';
import { note } from '../text/print.ts';
import type { BenchSandbox } from './measurement.ts';

/** The server ends what a killed measurement leaves behind after this long. */
const LIFE_SECONDS = 900;
const LABEL = 'sandbox-cli-bench';

/**
 * Makes sandboxes and deletes every one of them at the end of its scope. A create that is under way
 * is waited for, not abandoned: the server would finish it for nobody.
 */
export class Sandboxes implements AsyncDisposable {
  private readonly control: Control;
  private readonly envdOf: (id: string, accessToken: string | undefined) => Envd;
  private readonly template: string;
  private readonly run = randomBytes(8).toString('hex');
  private readonly alive = new Set<string>();
  private readonly starting = new Set<Promise<unknown>>();

  constructor(
    control: Control,
    envdOf: (id: string, accessToken: string | undefined) => Envd,
    template: string,
  ) {
    this.control = control;
    this.envdOf = envdOf;
    this.template = template;
  }

  async create(options: { cold?: boolean } = {}): Promise<BenchSandbox> {
    const creating = this.control.createSandbox({
      template: this.template,
      timeoutSeconds: LIFE_SECONDS,
      metadata: { [LABEL]: this.run },
      ...options,
    });
    const settled = creating.then(
      ({ sandboxId }) => this.alive.add(sandboxId),
      () => {},
    );
    this.starting.add(settled);
    const { sandboxId, accessToken, phases } = await creating.finally(() => this.starting.delete(settled));
    return { id: sandboxId, envd: this.envdOf(sandboxId, accessToken), phases };
  }

  async delete({ id }: BenchSandbox): Promise<void> {
    await this.control.killSandbox(id);
    this.alive.delete(id);
  }

  async [Symbol.asyncDispose]() {
    await Promise.all(this.starting);
    const labelled = await this.labelled();
    const results = await Promise.allSettled(
      [...new Set([...this.alive, ...labelled])].map((id) => this.control.killSandbox(id)),
    );
    for (const result of results) {
      if (result.status === 'rejected') note(`Not deleted: ${SandboxError.from(result.reason).message}`);
    }
  }

  /** Those whose id never reached us, because the answer to a create was lost. */
  private async labelled(): Promise<string[]> {
    try {
      const found = await this.control.listSandboxes({
        states: ['running'],
        metadata: { [LABEL]: this.run },
      });
      return found.filter(({ metadata }) => metadata?.[LABEL] === this.run).map(({ sandboxID }) => sandboxID);
    } catch (caught) {
      note(`Sandboxes that were left over were not looked for: ${SandboxError.from(caught).message}`);
      return [];
    }
  }
}
