export type Account = { name: string; uid: number; gid: number; home: string; shell: string };

export type AccountFiles = { passwd: string; group: string; shadow: string | undefined };

/**
 * Adds an account to the files of an image, if no account has its name, and says what it is there: an account
 * that the image has already keeps its numbers and its home. An id that is taken makes way to the next free one.
 */
export function addAccount(
  files: AccountFiles,
  wanted: { name: string; id: number; home: string; shell: string },
): { files: AccountFiles; account: Account; isNew: boolean } {
  const { name, home, shell } = wanted;
  const users = fields(files.passwd);
  const groups = fields(files.group);
  const present = users.find((user) => user[0] === name && isId(user[2]) && isId(user[3]));
  if (present) {
    const [, , uid, gid, , itsHome = '', itsShell = ''] = present;
    return {
      files,
      account: { name, uid: Number(uid), gid: Number(gid), home: itsHome, shell: itsShell },
      isNew: false,
    };
  }
  const group = groups.find((one) => one[0] === name && isId(one[2]));
  const taken = new Set([...users, ...groups.filter((one) => one !== group)].map(([, , id]) => Number(id)));
  let uid = wanted.id;
  while (taken.has(uid)) uid++;
  const gid = group ? Number(group[2]) : uid;
  return {
    isNew: true,
    account: { name, uid, gid, home, shell },
    files: {
      passwd: withLine(files.passwd, name, `${name}:x:${uid}:${gid}::${home}:${shell}`),
      group: group ? files.group : withLine(files.group, name, `${name}:x:${gid}:`),
      // `*`: no password opens it, but it is not locked either.
      shadow:
        files.shadow === undefined ? undefined : withLine(files.shadow, name, `${name}:*:19700:0:99999:7:::`),
    },
  };
}

/** The text with a last line for the name, and no other for it. */
function withLine(text: string, name: string, line: string): string {
  const others = text.split('\n').filter((one) => one !== '' && !one.startsWith(`${name}:`));
  return `${[...others, line].join('\n')}\n`;
}

const fields = (text: string) => text.split('\n').map((line) => line.split(':'));

const isId = (text: string | undefined) => /^\d{1,10}$/.test(text ?? '');
