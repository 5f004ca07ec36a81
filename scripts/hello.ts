// Ends set-up: a fresh sandbox, one Python program in it, and how long each phase took.
import { SandboxError } from '@sandbox-backend/protocol';
import { Control, Envd, resolveConnection } from '@sandbox-backend/sdk';

const template = process.argv[2] ?? 'default-sandbox';
const program = 'print("Hello World from", __import__("platform").node())';

try {
  await hello();
} catch (caught) {
  console.error(`error: ${SandboxError.from(caught).describe()}`);
  process.exitCode = SandboxError.from(caught).exitCode;
}

async function hello() {
  const connection = resolveConnection();
  const control = new Control(connection);
  const { node, ports } = (await control.status()) ?? {};
  const emulated = node?.vmm.accelerator === 'tcg';
  console.log(`
API      ${connection.apiUrl}
data     ${connection.sandboxUrl}
seed     ${ports?.seedControlAddress ?? 'off'} (gRPC), ${ports?.seedProxyUrl ?? 'off'}
ssh      ${ports?.sshAddress ?? 'off'}
API key  ${connection.apiKey}
VMM      ${node?.vmm.kind} ${node?.vmm.version}, ${
    emulated
      ? 'software emulation: /dev/kvm is absent or cannot run a guest here. Every sandbox is a real virtual machine, some ten times slower than with KVM.'
      : 'KVM: the processor runs the guests itself.'
  }

For an E2B client:  eval "$(bin/sandbox-cli env)"
For ssh:            bin/sandbox-cli ssh-config --install
`);
  const start = performance.now();
  const { sandboxId, accessToken, phases } = await control.createSandbox({ template, timeoutSeconds: 60 });
  const created = performance.now();
  try {
    const envd = new Envd({ sandboxUrl: connection.sandboxUrl, sandboxId, accessToken });
    const { output } = await envd.start({ command: 'python3', args: ['-c', program] });
    for await (const { data } of output) process.stdout.write(data);
    const ended = performance.now();
    const rows = [
      ...Object.entries(phases).map(([name, ms]) => [`  ${name}`, ms] as const),
      ['create', created - start] as const,
      ['run Python', ended - created] as const,
    ];
    for (const [name, ms] of rows) console.log(`${name.padEnd(14)} ${Math.round(ms)} ms`);
  } finally {
    await control.killSandbox(sandboxId);
  }
}
