"""What git itself says of the files below a folder. For threads: it waits for a child process.

Git runs here without anything that a repository could have it run: no file system monitor, no hooks, no transports. A
repository that git refuses, because somebody else owns it for example, is read without git.
"""

import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

logger = logging.getLogger(__name__)

TIMEOUT_S = 30.0
LOOK_S = 0.2
"""How often to see whether the answer is still wanted."""
_KEPT_VARIABLES = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
_DIFF = (
    *("--literal-pathspecs", "-c", "core.bigFileThreshold=256k", "diff", "--no-ext-diff", "--no-textconv"),
    *("--no-renames", "--no-color", "--ignore-submodules", "--src-prefix=a/", "--dst-prefix=b/", "--unified=3"),
)
"""Files of more than 256 KiB are only named: nobody wrote them by hand."""
_FILTERS = ("config", "-z", "--name-only", "--get-regexp", r"^filter\..*\.(clean|smudge|process|required)$")
_LIST = ("--literal-pathspecs", "ls-files", "-z", "--exclude-standard")


class Git:
    """Asks git.

    Args:
        is_cancelled: asked several times a second while git works; it is ended when this says so.
    """

    def __init__(self, is_cancelled: Callable[[], bool] = lambda: False) -> None:
        self._is_cancelled = is_cancelled

    def list_files(self, folder: str, paths: Sequence[str] = ()) -> list[str] | None:
        """Files of the repository that `folder` is in, tracked or not, that no rule leaves out; None if git does not say.

        Repositories within are named instead of their files: submodules like files, others with a slash at the end.

        Args:
            paths: only these, relative to the folder; everything below it if there are none.
        """
        return self._lines(folder, *_LIST, "--cached", "--others", "--", *paths)

    def list_empty_folders(self, folder: str) -> list[str]:
        """Folders with nothing in them to list, and others whose files are all new, that no rule leaves out."""
        found = self._lines(folder, *_LIST, "--others", "--directory") or []
        return [path.rstrip("/") for path in found if path.endswith("/") and path != "./"]

    def list_ignored(self, folder: str) -> list[str]:
        """Files that a rule leaves out, but none in folders that one leaves out."""
        found = self._lines(folder, *_LIST, "--others", "--ignored", "--directory") or []
        return [path for path in found if not path.endswith("/")]

    def list_staged(self, folder: str, index: str = "") -> list[str]:
        """Files below `folder`, the top of a checkout, that the next commit changes; `index` if it is made of another one."""
        return self._lines(folder, *_DIFF, "--cached", "--name-only", "-z", index=index) or []

    def diff_staged(self, folder: str, names: Sequence[str], index: str = "") -> str:
        """What the next commit changes in these files, see `list_staged`; "" if git does not say."""
        return (self._answer(folder, *_DIFF, "--cached", "--", *names, index=index) or b"").decode("utf-8", "replace")

    def fork_point(self, folder: str, branches: Sequence[str]) -> str:
        """The commit where the present branch left the first of `branches` that there is; else the last commit, "" if none."""
        for names in (*(("HEAD", branch) for branch in branches), ("HEAD", "HEAD")):
            if found := self._answer(folder, "merge-base", *names, "--"):
                return found.decode("ascii", "replace").strip()
        return ""

    def list_changed(self, folder: str, commit: str) -> list[str]:
        """Files below `folder` that git knows, and that are others on disk than in `commit`."""
        return self._lines(folder, *_DIFF, "--relative", "--name-only", "-z", commit, "--", is_disk_read=True) or []

    def diff_changed(self, folder: str, commit: str, names: Sequence[str]) -> str:
        """What was changed in these files, see `list_changed`; "" if git does not say."""
        found = self._answer(folder, *_DIFF, "--relative", commit, "--", *names, is_disk_read=True)
        return (found or b"").decode("utf-8", "replace")

    def is_ignored(self, folder: str, path: str) -> bool:
        """Whether a rule leaves out `path`, relative to `folder`; False where git does not say."""
        # This command takes no literal names; with a dot in front none is taken for a pattern.
        return bool(self._lines(folder, "check-ignore", "-z", "--stdin", text=f"./{path}"))

    def _lines(
        self, folder: str, *command: str, text: str = "", index: str = "", is_disk_read: bool = False
    ) -> list[str] | None:
        """What a command lists, or None if it fails. Names are decoded as those of files are."""
        listed = self._answer(folder, *command, text=text, index=index, is_disk_read=is_disk_read)
        return None if listed is None else [os.fsdecode(name) for name in listed.split(b"\0") if name]

    def _answer(
        self, folder: str, *command: str, text: str = "", index: str = "", is_disk_read: bool = False
    ) -> bytes | None:
        """What a command says, or None if it fails.

        Args:
            text: what it reads.
            index: the index that it uses, if that is not the usual one.
            is_disk_read: it reads files, so that the repository's filters would have to be run; they are not.
        """
        # Looked for each time, as it may be installed meanwhile; one that is found in the working folder is not git.
        program = shutil.which("git")
        if program is None or not os.path.isabs(program):  # noqa: PTH117  # a Path would lose the difference
            return None
        try:
            environment = _environment() | ({"GIT_INDEX_FILE": index} if index else {})
            environment |= self._without_filters(folder) if is_disk_read else {}
            status, listed, complaint = self._run(
                [program, *_SAFE, "-C", folder, *command], os.fsencode(text), environment
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            if not self._is_cancelled():
                logger.warning("Git cannot be asked about %s, so its rules are read without it: %s", folder, error)
            return None
        if status not in (0, 1):
            logger.info("Git does not list %s: %s", folder, os.fsdecode(complaint).strip().partition("\n")[0])
            return None
        return listed

    def _without_filters(self, folder: str) -> Mapping[str, str]:
        """What keeps git from running what the repository's configuration names as filters of its files."""
        names = self._lines(folder, *_FILTERS) or []
        variables = {f"GIT_CONFIG_KEY_{number}": name for number, name in enumerate(names)}
        variables |= {f"GIT_CONFIG_VALUE_{number}": "" for number in range(len(names))}
        return variables | {"GIT_CONFIG_COUNT": str(len(names))}

    def _run(
        self, command: Sequence[str], text: bytes | None, environment: Mapping[str, str]
    ) -> tuple[int, bytes, bytes]:
        """Status and outputs of a command; raises TimeoutExpired when it was ended before it was ready."""
        pipe = subprocess.PIPE
        ends = monotonic() + TIMEOUT_S
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as child:
            while True:
                try:
                    listed, complaint = child.communicate(text, LOOK_S)
                except subprocess.TimeoutExpired:
                    text = None  # it is on its way
                    if self._is_cancelled() or monotonic() > ends:
                        child.kill()
                        raise
                else:
                    return child.returncode, listed, complaint


def repository_top(folder: str) -> str | None:
    """The nearest folder that is a repository's, from `folder` upwards."""
    while not os.path.lexists(f"{folder}/.git"):
        folder, name = os.path.split(folder)
        if not name:
            return None
    return folder


def is_linked_worktree(folder: str) -> bool:
    """Whether `folder` is another checkout of some repository, as `git worktree add` makes them, and no submodule."""
    try:
        with open(f"{folder}/.git", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123  # may be bytes
            git_folder = file.read(4096).removeprefix("gitdir:").strip()
    except (OSError, ValueError):
        return False
    return os.path.basename(os.path.dirname(git_folder)) == "worktrees"  # noqa: PTH119, PTH120  # may end in anything


def work_folder(git_folder: str) -> str | None:
    """The top of the checkout that `git_folder` belongs to, if it is the repository's first one or a linked worktree."""
    above, name = os.path.split(git_folder)
    if name == ".git":
        return above
    try:
        with open(f"{git_folder}/gitdir", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123  # may be bytes
            return os.path.dirname(file.read(4096).strip()) or None  # noqa: PTH120  # may end in anything
    except (OSError, ValueError):
        return None


def worktree_within(root: str, path: str) -> str | None:
    """The linked worktree below `root` that the file at `path` is in, if there is one: another project, whatever it is in."""
    folder = os.path.dirname(path)  # noqa: PTH120  # a path that the disk may refuse
    while folder.startswith(f"{root.rstrip('/')}/"):
        if is_linked_worktree(folder):
            return folder
        folder = os.path.dirname(folder)  # noqa: PTH120
    return None


def _environment() -> dict[str, str]:
    """This process's environment without what would lead git elsewhere; nothing is written, fetched or asked for."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key in _KEPT_VARIABLES}
    fixed = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
    return kept | fixed | {"GIT_ALLOW_PROTOCOL": "none"}
