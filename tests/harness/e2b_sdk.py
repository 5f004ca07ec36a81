"""What programs do with the published Python package e2b; run by tests/e2e/e2b-python.test.ts."""

import asyncio
import time
import unittest

from e2b import (
    AsyncSandbox,
    CommandExitException,
    FileNotFoundException,
    FilesystemEventType,
    NotFoundException,
    PtySize,
    Sandbox,
)

TEMPLATE = "default-sandbox"


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.05)


class Blocking(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sandbox = Sandbox.create(TEMPLATE, timeout=300, metadata={"purpose": "test"}, envs={"GREETING": "hello"})

    @classmethod
    def tearDownClass(cls):
        cls.sandbox.kill()

    def test_command_with_streams_and_environment(self):
        seen = []
        result = self.sandbox.commands.run("echo $GREETING; whoami; pwd; echo bad >&2", on_stdout=seen.append)
        self.assertEqual(result.stdout, "hello\nuser\n/home/user\n")
        self.assertEqual(result.stderr, "bad\n")
        self.assertEqual("".join(seen), result.stdout)

    def test_command_that_fails(self):
        with self.assertRaises(CommandExitException) as caught:
            self.sandbox.commands.run("echo no >&2; exit 7")
        self.assertEqual((caught.exception.exit_code, caught.exception.stderr), (7, "no\n"))

    def test_background_command(self):
        command = self.sandbox.commands.run("cat", background=True, stdin=True)
        self.assertIn(command.pid, [each.pid for each in self.sandbox.commands.list()])
        self.sandbox.commands.send_stdin(command.pid, "to the cat\n")
        again = self.sandbox.commands.connect(command.pid)
        self.assertTrue(self.sandbox.commands.kill(command.pid))
        with self.assertRaises(CommandExitException):
            again.wait()
        self.assertFalse(self.sandbox.commands.kill(command.pid))

    def test_files(self):
        files = self.sandbox.files
        files.write("/tmp/a/b.txt", "text")
        self.assertEqual(files.read("/tmp/a/b.txt"), "text")
        data = bytes(range(256)) * 1024
        files.write("/tmp/a/c.bin", data)
        self.assertEqual(bytes(files.read("/tmp/a/c.bin", format="bytes")), data)
        self.assertEqual([each.name for each in files.list("/tmp/a")], ["b.txt", "c.bin"])
        self.assertEqual(files.get_info("/tmp/a/c.bin").size, len(data))
        files.rename("/tmp/a/b.txt", "/tmp/a/d.txt")
        self.assertEqual((files.exists("/tmp/a/b.txt"), files.exists("/tmp/a/d.txt")), (False, True))
        self.assertEqual((files.make_dir("/tmp/a/e"), files.make_dir("/tmp/a/e")), (True, False))
        files.remove("/tmp/a")
        with self.assertRaises(FileNotFoundException):
            files.read("/tmp/a/d.txt")

    def test_watch(self):
        self.sandbox.files.make_dir("/tmp/watched")
        watch = self.sandbox.files.watch_dir("/tmp/watched")
        self.sandbox.files.write("/tmp/watched/new.txt", "x")
        events = []

        def seen():
            events.extend(watch.get_new_events())
            return any(each.type == FilesystemEventType.CREATE and each.name == "new.txt" for each in events)

        wait_until(seen)
        watch.stop()

    def test_terminal(self):
        terminal = self.sandbox.pty.create(size=PtySize(rows=30, cols=100))
        self.sandbox.pty.resize(terminal.pid, PtySize(rows=40, cols=120))
        self.sandbox.pty.send_stdin(terminal.pid, b"stty size; exit\n")
        output = b"".join(pty or b"" for _stdout, _stderr, pty in terminal)
        self.assertIn(b"40 120", output)

    def test_list_info_connect_and_timeout(self):
        listed = []
        pages = Sandbox.list()
        while pages.has_next:
            listed += [each.sandbox_id for each in pages.next_items()]
        self.assertIn(self.sandbox.sandbox_id, listed)
        info = self.sandbox.get_info()
        self.assertEqual((info.template_id, info.metadata), (TEMPLATE, {"purpose": "test"}))
        self.sandbox.set_timeout(600)
        self.assertGreater(self.sandbox.get_info().end_at, info.end_at)
        self.assertEqual(Sandbox.connect(self.sandbox.sandbox_id).commands.run("echo again").stdout, "again\n")
        wait_until(self.sandbox.get_metrics)
        self.assertEqual(self.sandbox.get_metrics()[-1].cpu_count, 2)

    def test_snapshot(self):
        self.sandbox.files.write("/home/user/kept", "kept")
        snapshot = self.sandbox.create_snapshot()
        copy = Sandbox.create(snapshot.snapshot_id, timeout=120)
        try:
            self.assertEqual(copy.files.read("/home/user/kept"), "kept")
        finally:
            copy.kill()
            Sandbox.delete_snapshot(snapshot.snapshot_id)


class Asynchronous(unittest.IsolatedAsyncioTestCase):
    async def test_many_at_once_and_the_end(self):
        sandbox = await AsyncSandbox.create(TEMPLATE, timeout=300)
        results = await asyncio.gather(*(sandbox.commands.run(f"sleep 0.2; echo {n}") for n in range(8)))
        self.assertEqual([each.stdout for each in results], [f"{n}\n" for n in range(8)])
        heard = []
        command = await sandbox.commands.run("echo one; sleep 0.2; echo two", background=True, on_stdout=heard.append)
        await command.wait()
        self.assertEqual("".join(heard), "one\ntwo\n")
        self.assertTrue(await sandbox.is_running())
        self.assertTrue(await sandbox.kill())
        self.assertFalse(await sandbox.is_running())
        with self.assertRaises(NotFoundException):
            await AsyncSandbox.connect(sandbox.sandbox_id)

    async def test_template_that_does_not_exist(self):
        with self.assertRaisesRegex(Exception, "no-such-template"):
            await AsyncSandbox.create("no-such-template")
