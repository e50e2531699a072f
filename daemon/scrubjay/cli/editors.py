"""Connecting editors: which are here, what would change for each, and doing it. Nothing of a user's is overwritten."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import scrubjay
from scrubjay.cli.service import own_program
from scrubjay.errors import DaemonError

BEGIN, END = ">>> scrubjay setup >>>", "<<< scrubjay setup <<<"
VSCODES = ("code", "codium", "code-server")
EXTENSION_ID = "scrubjay.scrubjay"
COMMAND_S = 300


@dataclass(frozen=True, slots=True)
class Change:
    """What connects an editor.

    Args:
        editor: its name.
        text: what is added, for the user to see.
        file: to which `text` is appended; None if a command is run instead.
        copies: files that are put beside it, where there are none: from where, to where.
        command: that is run.
    """

    editor: str
    text: str
    file: Path | None = None
    copies: tuple[tuple[Path, Path], ...] = ()
    command: tuple[str, ...] = ()

    def make(self) -> None:
        """Do it.

        Raises:
            DaemonError: the command fails; the sentence says how.
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
        if self.command:
            done = subprocess.run(self.command, capture_output=True, text=True, check=False, timeout=COMMAND_S)
            if done.returncode:
                last = (done.stderr or done.stdout).strip().splitlines()[-1:]
                raise DaemonError(f"`{' '.join(self.command)}` failed: {''.join(last) or 'it says nothing'}.")


def changes(home: Path) -> Iterator[Change | str]:
    """For each editor that is found: the change that connects it, or a sentence why there is none to make."""
    yield from _emacs(home)
    yield from _neovim(home)
    yield from _vscode()


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


def _vscode() -> Iterator[Change | str]:
    for name in VSCODES:
        program = shutil.which(name)
        if not program:
            continue
        listed = subprocess.run(
            [program, "--list-extensions"], capture_output=True, text=True, check=False, timeout=COMMAND_S
        )
        if EXTENSION_ID in listed.stdout.split():
            yield f"VS Code ({name}): the extension is installed already."
            continue
        found = sorted((clients_folder() / "vscode").glob("*.vsix"))
        if found:
            command = (program, "--install-extension", str(found[-1]))
            yield Change(f"VS Code ({name})", f"{' '.join(command)}\n", command=command)
        else:
            yield (
                f"VS Code ({name}): this installation has no packaged extension; in a checkout, `make vsix` makes one "
                "before Scrubjay is installed."
            )


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
