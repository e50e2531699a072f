"""Connecting editors: which are here, what would change for each, and doing it. Nothing of a user's is overwritten."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import scrubjay
from scrubjay.cli.service import own_program
from scrubjay.cli.vsix import write_vsix
from scrubjay.errors import DaemonError

BEGIN, END = ">>> scrubjay setup >>>", "<<< scrubjay setup <<<"
VSCODES = ("code", "codium", "code-server")
EXTENSION_ID = "scrubjay.scrubjay"
PROGRAM = "scrubjay"
PACKAGE = "scrubjay.vsix"
COMMAND_S = 300
BUILD = (
    ("npm", "ci", "--omit=dev", "--prefer-offline", "--ignore-scripts", "--no-fund", "--no-audit", "--loglevel=error"),
    ("node", "build.mjs", "--minify"),
)
"""How the extension for VS Code is bundled, in a copy of its folder; the market's tools and the check of types are left out."""
MADE = ("node_modules", "out", "dist", "*.vsix")


@dataclass(frozen=True, slots=True)
class Change:
    """What connects an editor.

    Args:
        editor: its name.
        text: what is added, for the user to see.
        file: to which `text` is appended; None if a command is run instead.
        copies: files that are put beside it, where there are none: from where, to where.
        command: that is run.
        sources: the folder of the extension, if it has to be packaged first; the package is the command's last argument.
    """

    editor: str
    text: str
    file: Path | None = None
    copies: tuple[tuple[Path, Path], ...] = ()
    command: tuple[str, ...] = ()
    sources: Path | None = None

    def make(self) -> None:
        """Do it.

        Raises:
            DaemonError: a command fails; the sentence says how.
            OSError: a file cannot be written.
        """
        for source, target in self.copies:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        if self.file:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            old = self.file.read_text("utf-8") if self.file.exists() else ""
            with self.file.open("a", encoding="utf-8") as opened:
                opened.write(("\n" if old and not old.endswith("\n") else "") + self.text)
        if self.sources:
            with TemporaryDirectory() as folder:
                _run((*self.command, str(_packaged(self.sources, Path(folder) / "extension"))))
        elif self.command:
            _run(self.command)


def changes(home: Path) -> Iterator[Change | str]:
    """For each editor that is found: the change that connects it, or a sentence why there is none to make."""
    yield from _emacs(home)
    yield from _neovim(home)
    yield from _vscode(home)


def clients_folder() -> Path:
    """The folder with the files of the clients: in the package, or in the checkout that it runs from."""
    package = Path(scrubjay.__file__).parent
    return next(path for path in (package / "clients", package.parents[1] / "clients") if path.exists())


def _emacs(home: Path) -> Iterator[Change | str]:
    inits = [home / ".emacs", home / ".emacs.el", home / ".emacs.d" / "init.el", home / ".config/emacs/init.el"]
    folders = [init.parent for init in inits[2:]]
    if not (shutil.which("emacs") or any(path.exists() for path in (*inits, *folders))):
        return
    there = [init for init in inits if init.exists()] or [init for init in inits[2:] if init.parent.exists()]
    file = (there or inits[2:])[0]
    if _mentions(file):
        yield f"Emacs: {file} has Scrubjay in it already."
        return
    command = " ".join(_quoted(word) for word in (*own_program(), "lsp"))
    lines = (
        f"(add-to-list 'load-path {_quoted(str(clients_folder() / 'emacs'))})",
        "(require 'scrubjay)",
        f"(setq scrubjay-command '({command}))",
        "(add-hook 'prog-mode-hook #'scrubjay-mode)",
    )
    yield Change("Emacs", _block(lines, ";;"), file)


def _neovim(home: Path) -> Iterator[Change | str]:
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "nvim"
    program = shutil.which("nvim")
    if not (program or folder.exists()):
        return
    if program and (version := _neovim_version(program)) < (0, 12):
        yield f"Neovim {version[0]}.{version[1]} has no inline completion; 0.12 has."
        return
    vim = (folder / "init.vim").exists()
    file, module = folder / ("init.vim" if vim else "init.lua"), folder / "lua" / "scrubjay.lua"
    source = clients_folder() / "vim" / "scrubjay.lua"
    if _mentions(file):
        yield f"Neovim: {file} has Scrubjay in it already."
    elif module.exists() and module.read_text("utf-8") != source.read_text("utf-8"):
        yield f"Neovim: {module} is another file than ours, and stays; take that away to be connected."
    else:
        command = ", ".join(_quoted(word) for word in (*own_program(), "lsp"))
        lines = (f"vim.g.scrubjay_cmd = {{ {command} }}", 'require("scrubjay")')
        text = _block([f"lua {line}" for line in lines], '"') if vim else _block(lines, "--")
        yield Change("Neovim", text, file, ((source, module),))


def _vscode(home: Path) -> Iterator[Change | str]:
    for name in VSCODES:
        program = shutil.which(name)
        if not program:
            continue
        if not (shutil.which(PROGRAM) or (home / ".local/bin" / PROGRAM).exists()):
            # The extension looks there only, and its settings are a file with comments, which we had better not write.
            yield f"VS Code ({name}): set `scrubjay.path` in its settings to {own_program()[0]}, which is on no PATH."
        listed = subprocess.run(
            [program, "--list-extensions"], capture_output=True, text=True, check=False, timeout=COMMAND_S
        )
        if EXTENSION_ID in listed.stdout.split():
            yield f"VS Code ({name}): the extension is installed already."
            continue
        sources, install = clients_folder() / "vscode", (program, "--install-extension")
        editor = f"VS Code ({name})"
        if found := sorted(sources.glob("*.vsix")):
            command = (*install, str(found[-1]))
            yield Change(editor, f"{' '.join(command)}\n", command=command)
        elif shutil.which("npm"):
            built = " && ".join(" ".join(command) for command in BUILD)
            text = f"{built}   # in a copy of {sources}, which is zipped\n{' '.join(install)} {PACKAGE}\n"
            yield Change(editor, text, command=install, sources=sources)
        else:
            yield (
                f"{editor}: the extension is built with npm, which is not here; install Node.js, or run `make vsix` "
                "in a checkout elsewhere and install the file that it makes."
            )


def _packaged(sources: Path, folder: Path) -> Path:
    """The package that is made of a copy of the extension's `sources`; the copy becomes `folder`."""
    shutil.copytree(sources, folder, ignore=shutil.ignore_patterns(*MADE))
    for command in BUILD:
        _run(command, folder)
    package = folder / PACKAGE
    write_vsix(folder, package)
    return package


def _run(command: Sequence[str], folder: Path | None = None) -> None:
    """Run a command that has to succeed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=COMMAND_S)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise DaemonError(f"`{' '.join(command)}` failed: {''.join(last) or 'it says nothing'}.")


def _neovim_version(program: str) -> tuple[int, int]:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=COMMAND_S)
    match = re.search(r"v(\d+)\.(\d+)", said.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _mentions(file: Path) -> bool:
    return file.exists() and "scrubjay" in file.read_text("utf-8", "replace")


def _block(lines: "tuple[str, ...] | list[str]", comment: str) -> str:
    return "\n".join((f"{comment} {BEGIN}", *lines, f"{comment} {END}")) + "\n"


def _quoted(word: str) -> str:
    """A text in the quotation marks that Lisp and Lua have."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
