"""Editors for tests, from Debian's packages: unpacked into a folder of their own, nothing is installed.

The folder is kept in the user's cache, so that only the first run downloads.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import platformdirs
import pytest

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
Got = TypeVar("Got")
OLDEST, NEWER = "28", "30"
EMACSES = {OLDEST: (range(28, 29), "bookworm"), NEWER: (range(29, 100), "bookworm-backports")}
"""Of each Emacs that is tried: which versions of the system's stand for it, and where Debian has it."""
NEOVIM = """
    libc6 libgcc-s1 libluajit-5.1-common libluajit-5.1-2 libtree-sitter0.26 libunibilium4 libutf8proc3 libuv1t64
    lua-lpeg lua-luv neovim-runtime neovim
"""


@dataclass(frozen=True, slots=True)
class Program:
    """How to run an editor: the beginning of its command line, and what its environment must hold besides ours."""

    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The whole environment."""
        return os.environ | self.environment


class Unavailable(Exception):
    """The editor cannot be had here."""


def emacs(version: str = NEWER) -> Program:
    """Emacs, one of `EMACSES`; skips the test with the reason where it cannot be had."""
    majors, suite = EMACSES[version]
    if (path := shutil.which("emacs")) and _major_version(path) in majors:
        return Program([path])
    return _or_skip(lambda: _unpacked_emacs(_cache(f"emacs-{version}", partial(_get_emacs, suite))))


def neovim() -> Program:
    """Neovim 0.12 or newer, which has inline completion; skips the test with the reason where there is none."""
    if (path := shutil.which("nvim")) and _output([path, "--version"]).split("\n", 1)[0] >= "NVIM v0.12":
        return Program([path])
    return _or_skip(lambda: _unpacked_neovim(_cache("neovim", _get_neovim)))


def lisp(name: str, *packages: str) -> list[str]:
    """What makes Emacs find packages of Emacs Lisp, kept as `name`; skips the test where they cannot be had."""
    root = _or_skip(lambda: _cache(name, partial(_get_lisp, packages)))
    folders = sorted((root / "usr/share/emacs/site-lisp/elpa-src").iterdir())
    return [argument for folder in folders for argument in ("-L", str(folder))]


def _or_skip(get: Callable[[], Got]) -> Got:
    try:
        return get()
    except Unavailable as reason:
        pytest.skip(str(reason))


def _major_version(emacs_path: str) -> int:
    return int(_output([emacs_path, "-Q", "--batch", "--eval", "(princ emacs-major-version)"]))


def _cache(name: str, get: Callable[[Path, Path], None]) -> Path:
    """The folder into which `get` has unpacked `name`; `get` is given that folder and one for what it needs besides."""
    home = platformdirs.user_cache_path("scrubjay-tests")
    root = home / name
    if not root.exists():
        unfinished = home / f"{name}-unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        try:
            get(unfinished / "root", unfinished / "apt")
        except (OSError, subprocess.CalledProcessError) as error:
            details = getattr(error, "stderr", "") or error
            raise Unavailable(f"{name} is not to be had from Debian's packages: {details}") from error
        (unfinished / "root").rename(root)
        shutil.rmtree(unfinished)
    return root


def _get_emacs(suite: str, root: Path, apt: Path) -> None:
    config = apt_config(apt, sorted({"bookworm", suite}))
    wanted = ["--no-install-recommends", "-t", suite, "emacs-nox"]
    run_apt(["apt-get", "install", "--download-only", "-y", *wanted], config, apt)
    unpack(apt / "cache/archives", root)


def _get_lisp(packages: tuple[str, ...], root: Path, apt: Path) -> None:
    _get_from_sid([f"elpa-{package}" for package in packages], root, apt)


def _get_neovim(root: Path, apt: Path) -> None:
    _get_from_sid(NEOVIM.split(), root, apt)


def _get_from_sid(packages: list[str], root: Path, apt: Path) -> None:
    """These packages and no others: what they depend on has to be among them."""
    config = apt_config(apt, ["sid"])
    run_apt(["apt-get", "download", *(f"{package}/sid" for package in packages)], config, apt)
    unpack(apt, root)


def apt_config(folder: Path, suites: list[str]) -> Path:
    """A view of the package archive of our own, so that the system's is left as it is."""
    if not shutil.which("apt-get") or not KEYRING.exists():
        raise Unavailable("Editors are unpacked from Debian's packages, and this is no Debian.")
    (folder / "lists/partial").mkdir(parents=True)
    (folder / "cache/archives/partial").mkdir(parents=True)
    mirror = _mirror()
    sources = folder / "sources.list"
    sources.write_text("".join(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n" for suite in suites))
    config = folder / "apt.conf"
    config.write_text(
        f'Dir::Etc::sourcelist "{sources}";\nDir::Etc::sourceparts "-";\nDir::State::lists "{folder}/lists";\n'
        f'Dir::Cache "{folder}/cache";\nAcquire::Languages "none";\nDebug::NoLocking "1";\n'
    )
    run_apt(["apt-get", "update"], config, folder)
    return config


def _mirror() -> str:
    """Where the system gets its packages from."""
    for line in (line for path in SOURCES if path.exists() for line in path.read_text().splitlines()):
        match line.split():
            case ["URIs:", uri, *_] | ["deb", uri, *_]:
                return uri
    raise Unavailable("No package archive is configured.")


def run_apt(command: list[str], config: Path, folder: Path) -> None:
    """Run a command of apt in `folder` with the archive of `apt_config`."""
    environment = os.environ | {"APT_CONFIG": str(config), "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, env=environment, cwd=folder, check=True, capture_output=True, text=True, timeout=240)


def unpack(folder: Path, root: Path) -> None:
    """Unpack all packages in `folder` into `root`.

    Raises:
        Unavailable: there are none.
    """
    packages = sorted(folder.glob("*.deb"))
    for package in packages:
        subprocess.run(["dpkg", "-x", package, root], check=True, capture_output=True, text=True)
    if not packages:
        raise Unavailable("Nothing was downloaded.")


def _unpacked_emacs(root: Path) -> Program:
    share = next((root / "usr/share/emacs").glob("[0-9]*"))
    libexec = next((root / "usr/libexec/emacs").glob("[0-9]*/*"))
    lisp = [str(folder) for folder in [share / "lisp", *(share / "lisp").rglob("*/")] if folder.is_dir()]
    dump = next(path for path in (root / "usr").rglob("emacs*.pdmp"))
    environment = {
        "EMACSLOADPATH": ":".join(lisp),
        "EMACSDATA": str(share / "etc"),
        "EMACSDOC": str(share / "etc"),
        "EMACSPATH": str(libexec),
        "LD_LIBRARY_PATH": str(root / "usr/lib/x86_64-linux-gnu"),
    }
    return Program([str(root / "usr/bin/emacs-nox"), "--dump-file", str(dump)], environment)


def _unpacked_neovim(root: Path) -> Program:
    libraries = root / "usr/lib/x86_64-linux-gnu"
    loader = [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries)]
    runtime = root / "usr/share/nvim"
    environment = {"VIM": str(runtime), "VIMRUNTIME": str(runtime / "runtime")}
    return Program([*loader, str(root / "usr/bin/nvim")], environment)


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
