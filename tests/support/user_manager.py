"""A service manager of a test's own: systemd for one user, in namespaces that show it nothing of other processes."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

SYSTEMD = Path("/lib/systemd/systemd")
GROUPS = Path("/sys/fs/cgroup")
NAMESPACES = ("--mount", "--pid", "--cgroup")
ENTER = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
"""A process becomes one of a control group, which is all that it sees of them then."""
LOGIN = f"""
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && mount -t cgroup2 none {GROUPS} || exit 1
{SYSTEMD} --user --log-target=null &
wait $!
"""
"""systemd wants to see that the system was started by it, and groups; and must not be process 1, which is another systemd."""


@dataclass(frozen=True, slots=True)
class UserManager:
    """A systemd that runs; `run` runs commands beside it."""

    pid: int
    environment: Mapping[str, str]

    def run(self, *command: str, status: int = 0) -> str:
        """What a command writes that ends with `status`."""
        enter = ["nsenter", f"--target={self.pid}", *NAMESPACES, "--"]
        done = subprocess.run(
            [*enter, *command], env=self.environment, cwd="/", capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout


@contextmanager
def user_manager(home: Path) -> Iterator[UserManager]:
    """The service manager of the user whose home folder is `home`, from login to logout; skips the test where there is none."""
    if not (SYSTEMD.exists() and all(map(shutil.which, ("unshare", "nsenter", "systemctl")))):
        pytest.skip("There is no systemd here.")
    if os.getuid():
        pytest.skip("Only root can give systemd namespaces of its own.")
    run = home / "run"
    run.mkdir(mode=0o700, exist_ok=True)
    said = home / "notify"
    usual = {key: os.environ[key] for key in ("LANG", "PATH") if key in os.environ}
    environment = {**usual, "HOME": str(home), "XDG_RUNTIME_DIR": str(run), "NOTIFY_SOCKET": str(said)}
    with _control_group() as group, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(said))
        unshare = ["unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc", "sh", "-c", LOGIN]
        process = subprocess.Popen(
            ["sh", "-c", ENTER, str(group), *unshare], env=environment, stderr=subprocess.PIPE, text=True
        )
        try:
            _wait_until_ready(notified, process)
            [first] = psutil.Process(process.pid).children()
            manager = UserManager(first.pid, environment)
            yield manager
            manager.run("systemctl", "--user", "exit")
            process.wait()
        finally:
            process.kill()
            process.communicate()
            said.unlink()


def _wait_until_ready(notified: socket.socket, process: "subprocess.Popen[str]") -> None:
    notified.settimeout(0.2)
    while True:
        try:
            if b"READY=1" in notified.recv(4096):
                return
        except TimeoutError:
            if process.poll() is not None:
                pytest.skip(f"systemd cannot run here: {process.communicate()[1]}")


@contextmanager
def _control_group() -> Iterator[Path]:
    """A new control group below our own."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    root = next((Path(words[1]) for words in mounts if words[2] == "cgroup2"), None)
    own = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    if root is None:
        pytest.skip("There are no control groups of version 2 here.")
    group = root / own.removeprefix("0::/") / f"scrubjay-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"No control group can be made: {error}")
    yield group
    for folder in sorted((path for path in (group, *group.rglob("*")) if path.is_dir()), reverse=True):
        folder.rmdir()
