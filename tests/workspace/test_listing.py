"""Which files are a project's own: what git lists, and without git what its rules say; never secrets and leftovers."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scrubjay.workspace import git
from scrubjay.workspace.hidden_names import is_hidden_file, is_hidden_folder, is_secret
from scrubjay.workspace.listing import Listing


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of settings; git knows no others."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (tmp_path / "home").mkdir()
    (folder := tmp_path / "config" / "git").mkdir(parents=True)
    return folder


@pytest.fixture(params=["with git", "without git"])
def way(request: pytest.FixtureRequest, config: Path, tmp_path: Path) -> Callable[[], None]:
    """Has git not be found from then on, if the test is to do without."""

    def begin() -> None:
        if request.param == "without git":
            request.getfixturevalue("monkeypatch").setenv("PATH", str(tmp_path / "nowhere"))

    return begin


def run_git(folder: Path, *args: str) -> None:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@localhost", "-C", str(folder), *args]
    subprocess.run(command, check=True, capture_output=True)


def repository(root: Path, texts: dict[str, str | bytes]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    run_git(root, "init", "-q")
    write(root, texts)
    return root


def write(root: Path, texts: dict[str, str | bytes]) -> None:
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def listed(root: Path, **more: object) -> set[str]:
    return {path for path, _ in Listing(str(root), **more).scan()}  # type: ignore[arg-type]


def changed(root: Path, *paths: str) -> set[str]:
    """Those of `paths` that are shown when they change, or are made, after a look at everything."""
    listing = Listing(str(root))
    list(listing.scan())
    new = [path for path in paths if not (root / path).exists() and (root / path).parent.exists()]
    assert listing.includes(new) == set(), "they are not there yet"
    write(root, dict.fromkeys(new, "new"))
    return listing.includes(paths)


# --- rules and where they are ------------------------------------------------------------------------------------------

SOURCES: dict[str, str | bytes] = {
    "a comment in Latin-1": b"# g\xe9n\xe9r\xe9\nlocal.py\n",
    "a byte order mark": b"\xef\xbb\xbflocal.py\n",
    "line ends of Windows": b"local.py\r\n",
    "300 KB": "local.py\n" + "".join(f"/generated/file_{number}.bin\n" for number in range(12_000)),
    "an escaped space at the end": "Old\\ Files\\ \nlocal.py\n",
    "a range the wrong way round": "*.[z-a]\nlocal.py\n",
    "a bracket that is not closed": "x[a\nlocal.py\n",
    "a backslash at the end": "x\\\nlocal.py\n",
    "only a negation": "!\nlocal.py\n",
}


@pytest.mark.parametrize("rules", SOURCES.values(), ids=SOURCES)
def test_the_rules_that_can_be_read_hold(tmp_path: Path, way: Callable[[], None], rules: str | bytes) -> None:
    root = repository(tmp_path / "root", {"local.py": "1", "kept.py": "2", ".gitignore": rules})
    way()
    assert listed(root) == {"kept.py"}
    assert changed(root, "local.py", "kept.py", "new.py") == {"kept.py", "new.py"}


def test_the_users_own_rules_and_those_of_the_repository_hold(
    tmp_path: Path, config: Path, way: Callable[[], None]
) -> None:
    (config / "ignore").write_text("*.local\n")
    root = repository(tmp_path / "root", {"a.local": "1", "b.log": "2", "kept.py": "3", "lib/c.local": "4"})
    (root / ".git" / "info" / "exclude").write_text("*.log\n")
    way()
    assert listed(root) == {"kept.py"}
    assert listed(root / "lib") == set(), "they hold in a folder of it, too"


def test_a_linked_worktree_has_the_rules_of_its_repository(tmp_path: Path, config: Path) -> None:
    (config / "config").write_text(f"[core]\nexcludesFile = {tmp_path}/mine\n")
    (tmp_path / "mine").write_text("*.mine\n")
    root = repository(tmp_path / "root", {"kept.py": "1"})
    run_git(root, "add", ".")
    run_git(root, "commit", "-q", "-m", "one")
    run_git(root, "worktree", "add", "-q", str(tmp_path / "linked"))
    (root / ".git" / "info" / "exclude").write_text("*.log\n")
    write(tmp_path / "linked", {"a.log": "2", "b.mine": "3", "c.py": "4"})
    assert listed(tmp_path / "linked") == {"kept.py", "c.py"}


def test_a_worktree_within_is_a_project_of_its_own_and_a_submodule_is_shown(
    tmp_path: Path, way: Callable[[], None]
) -> None:
    root = repository(tmp_path / "root", {"kept.py": "1"})
    run_git(root, "add", ".")
    run_git(root, "commit", "-q", "-m", "one")
    run_git(root, "worktree", "add", "-q", ".worktrees/feature")
    other = repository(tmp_path / "other", {"lib.py": "2", ".gitignore": "gone.py\n"})
    run_git(other, "add", ".")
    run_git(other, "commit", "-q", "-m", "one")
    run_git(root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "sub")
    repository(root / "clone", {"mine.py": "3", "gone.py": "4", ".gitignore": "gone.py\n"})
    write(root / "sub", {"gone.py": "5", "new.py": "6"})
    way()
    shown = {"kept.py", ".gitmodules", "sub/lib.py", "sub/new.py", "clone/mine.py"}
    assert listed(root) == shown
    assert changed(root, *shown, "sub/gone.py", "clone/gone.py", ".worktrees/feature/kept.py", "sub/.git") == shown


def test_what_is_tracked_is_shown_though_a_rule_leaves_it_out(tmp_path: Path, config: Path) -> None:
    root = repository(tmp_path / "root", {"a.log": "1", "b.log": "2", ".gitignore": "*.log\n"})
    run_git(root, "add", "-f", "a.log")
    assert listed(root) == {"a.log"}
    assert changed(root, "a.log", "b.log") == {"a.log"}


def test_a_scrubjayignore_leaves_out_and_lets_in(tmp_path: Path, way: Callable[[], None]) -> None:
    texts = {"a.log": "1", "b.log": "2", "lib/c.py": "3", "lib/d.py": "4", "build/e.py": "5", "private/f.py": "6"}
    rules = {".gitignore": "*.log\nbuild/\n", ".scrubjayignore": "!/a.log\nprivate/\n", "lib/.scrubjayignore": "d.py\n"}
    root = repository(tmp_path / "root", {**texts, **rules})
    way()
    assert listed(root) == {"a.log", "lib/c.py"}
    assert changed(root, *texts) == {"a.log", "lib/c.py"}


def test_rules_that_must_not_be_read_leave_out_all_beside_them(
    tmp_path: Path, way: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    root = repository(tmp_path / "root", {"a.py": "1", "lib/b.py": "2", "lib/deep/c.py": "3"})
    (root / "lib" / ".scrubjayignore").write_text("d.py\n")
    (root / "lib" / ".scrubjayignore").chmod(0)
    if os.access(root / "lib" / ".scrubjayignore", os.R_OK):
        pytest.skip("nothing is forbidden to this user")
    way()
    assert listed(root) == {"a.py"}
    assert ".scrubjayignore cannot be read" in caplog.text


def test_a_pattern_that_cannot_be_read_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, {".gitignore": "x[a\n", "a.py": "1"})
    assert listed(tmp_path) == {"a.py"}
    assert "'x[a'" in caplog.text


# --- git runs nothing, and may refuse ---------------------------------------------------------------------------------


def test_git_runs_nothing_of_the_repository(tmp_path: Path, config: Path) -> None:
    root = repository(tmp_path / "root", {"a.py": "1", ".gitattributes": "*.py filter=evil\n"})
    run_git(root, "add", "a.py")
    ran = tmp_path / "ran"
    (program := root / "program").write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    for name in ("post-index-change", "pre-auto-gc", "reference-transaction"):
        (root / ".git" / "hooks" / name).write_bytes(program.read_bytes())
        (root / ".git" / "hooks" / name).chmod(0o755)
    for option in ("core.fsmonitor", "filter.evil.clean", "filter.evil.process", "core.pager", "core.editor"):
        run_git(root, "config", option, str(program))
    run_git(root, "config", "core.untrackedCache", "true")
    ran.unlink(missing_ok=True)
    write(root, {"a.py": "changed", "b.py": "2"})
    index = (root / ".git" / "index").read_bytes()
    assert listed(root) == {"a.py", "b.py", "program", ".gitattributes"}
    assert changed(root, "a.py", "b.py", "c.py") == {"a.py", "b.py", "c.py"}
    assert not ran.exists()
    assert (root / ".git" / "index").read_bytes() == index, "nor does it write anything"


def test_a_git_of_the_project_is_not_git(tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository(tmp_path / "root", {"a.py": "1", "git": f"#!/bin/sh\ntouch {tmp_path}/ran\n"})
    (root / "git").chmod(0o755)
    monkeypatch.chdir(root)
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}")
    assert listed(root) == {"a.py", "git"}
    assert not (tmp_path / "ran").exists()


def test_a_git_that_does_not_end_is_ended_when_nobody_waits(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = repository(tmp_path / "root", {"a.py": "1"})
    started = tmp_path / "started"
    write(tmp_path, {"bin/git": f"#!/bin/sh\ntouch {started}\nexec sleep 1000\n"})
    (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    assert listed(root, is_cancelled=started.exists) == set()
    assert started.exists()


def test_a_git_that_takes_its_time_is_waited_for(tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository(tmp_path / "root", {"a.py": "1", "b/c.py": "2", ".gitignore": "b/\n"})
    real = shutil.which("git")
    write(tmp_path, {"bin/git": f'#!/bin/sh\nsleep 0.5\nexec {real} "$@"\n'})
    (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    assert git.Git().list_files(str(root)) == [".gitignore", "a.py"]
    assert git.Git().is_ignored(str(root), "b")


def test_folders_with_odd_names_are_asked_about_by_their_names(tmp_path: Path, config: Path) -> None:
    names = ["a b", ":(glob)x", "[a-z]", "*", "é", "-e", "!n", ":!y"]
    root = repository(tmp_path / "root", {".gitignore": "".join(f"/gone/{name}/\n" for name in ("a b", "é", "-e"))})
    listing = Listing(str(root))
    list(listing.scan())
    for folder in ("gone", "kept"):
        for name in names:
            write(root, {f"{folder}/{name}/a.py": "1"})
    assert {name for name in names if git.Git().is_ignored(str(root), f"gone/{name}")} == {"a b", "é", "-e"}
    assert not any(git.Git().is_ignored(str(root), f"kept/{name}") for name in names)
    assert listed(root) == {f"kept/{name}/a.py" for name in names} | {f"gone/{name}/a.py" for name in names[1:4]} | {
        f"gone/{name}/a.py" for name in ("!n", ":!y")
    }
    assert listing.may_show("gone")
    assert not listing.may_show(".venv")


def test_variables_lead_git_nowhere_else(tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository(tmp_path / "root", {"a.py": "1"})
    monkeypatch.setenv("GIT_DIR", str(repository(tmp_path / "other", {"b.py": "2"}) / ".git"))
    assert listed(root) == {"a.py"}


def test_a_repository_that_git_refuses_is_read_without_it(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = repository(tmp_path / "root", {"a.py": "1", "b.log": "2", ".gitignore": "*.log\n"})
    caplog.set_level("INFO")
    monkeypatch.setattr(git, "_KEPT_VARIABLES", (*git._KEPT_VARIABLES, "GIT_TEST_ASSUME_DIFFERENT_OWNER"))
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert listed(root) == {"a.py"}
    assert "dubious ownership" in caplog.text


# --- what is never shown ----------------------------------------------------------------------------------------------


def test_what_editors_leave_is_not_shown(tmp_path: Path, way: Callable[[], None]) -> None:
    left = ["main.py~", "#main.py#", ".#main.py", "4913", "main.py.orig", "main.py.rej", "main.py___jb_tmp___"]
    left += [".main.py.swp", ".main.py.kate-swp", ".history/main_20260101.py", ".ipynb_checkpoints/main.py", ".git"]
    root = repository(tmp_path / "root", dict.fromkeys(["main.py", "lib/49130.py", *left[:-1]], "1"))
    way()
    assert listed(root) == {"main.py", "lib/49130.py"}
    assert changed(root, "main.py", *left) == {"main.py"}


def test_secrets_are_not_shown_though_git_knows_them_unless_one_wants_it(
    tmp_path: Path, way: Callable[[], None]
) -> None:
    secrets = [".env", ".env.local", "prod.env", "server.pem", "server.key", "id_rsa", "id_ed25519", "id_deploy.pub"]
    secrets += [".netrc", ".npmrc", ".pypirc", "a.p12", "a.PFX", ".htpasswd", "credentials.json", ".ssh/config"]
    secrets += ["aws/credentials", "secrets.yaml"]
    code = ["main.py", "id_generator.py", "keys.py", "environment.py", "secretary.py"]
    root = repository(tmp_path / "root", dict.fromkeys([*secrets, *code], "1"))
    run_git(root, "add", "-f", ".")
    way()
    assert listed(root) == set(code)
    assert changed(root, *secrets, *code) == set(code)
    assert listed(root, shows_secrets=True) == {*secrets, *code}


# --- the law: what git leaves out is left out -------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b.o", "lib", "x y", "Ä.py", "a+b", "[s]", "#c", "!d", "-e", "tmp", "f.log", "é\n"])
FOLDERS = st.lists(NAMES, max_size=3).map(lambda names: "".join(f"{name}/" for name in names))
PIECES = st.sampled_from(
    ["*", "**", "?", "[a-c]", "[!a]", "/", "a", "b", ".o", "lib", "x y", "Ä", "\\ ", "\\#", "tmp", "."]
)
PATTERNS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "", "!", "/"]),
    st.lists(PIECES, min_size=1, max_size=4).map("".join),
    st.sampled_from(["", "", "/", " ", "/**"]),
)


@pytest.mark.slow
@given(
    files=st.lists(st.builds(str.__add__, FOLDERS, NAMES), min_size=1, max_size=8),
    rules=st.dictionaries(FOLDERS, st.lists(PATTERNS, max_size=4), max_size=3),
)
@example(files=["lib/a"], rules={"": ["/lib/*", "!lib/"]})  # a folder let in lets in nothing within it
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exactly_what_git_leaves_out_is_left_out(
    tmp_path_factory: pytest.TempPathFactory, config: Path, files: list[str], rules: dict[str, list[str]]
) -> None:
    root = repository(tmp_path_factory.mktemp("root"), {})
    for path in [*files, *(f"{folder}.gitignore" for folder in rules)]:
        try:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text("\n".join(rules.get(path.removesuffix(".gitignore"), [])) + "\n")
        except OSError:
            continue  # a file is where another one wants a folder
    there = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    there = [path for path in there if not path.startswith(".git/") and not path.endswith(".gitignore")]
    done = subprocess.run(
        ["git", "-C", str(root), "check-ignore", "--no-index", "--stdin", "-z"],
        input="\0".join(there).encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    kept = set(there) - set(done.stdout.decode().split("\0"))
    assert listed(root) == kept
    assert changed(root, *there) == kept


@given(st.text(min_size=1, max_size=12))
def test_any_name_can_be_asked_about(name: str) -> None:
    assert is_hidden_file(f"{name}~")
    assert is_secret(f".env{name}", is_folder=False)
    assert not is_hidden_folder(f"src{name}")
