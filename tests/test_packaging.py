"""The wheel: all that a user needs, and nothing that only a developer does."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NOT_FOR_USERS = ("pytest", "hypothesis", "mypy", "ruff", "torch", "tokenizers", "openai", "gguf", "matplotlib")
NEEDED = (
    "scrubjay/__main__.py",
    "scrubjay/starter/starter.gguf",
    "scrubjay/cli/catalogue.toml",
    "scrubjay_lsp/program.py",
    "scrubjay/clients/emacs/scrubjay.el",
    "scrubjay/clients/emacs/scrubjay-menu.el",
    "scrubjay/clients/vim/scrubjay.lua",
    "scrubjay/clients/vim/scrubjay.vim",
    "scrubjay/clients/python/scrubjay_client.py",
    "scrubjay/clients/vscode/src/extension.ts",
    "scrubjay/clients/vscode/package-lock.json",
)
UNPACKED = "import json, scrubjay, scrubjay_lsp; print(json.dumps([scrubjay.__file__, scrubjay_lsp.__file__]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_has_what_is_needed_and_no_more(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert set(NEEDED) <= set(names)
    others = {name.partition("/")[0] for name in names} - {"scrubjay", "scrubjay_lsp"}
    assert {name.rpartition(".")[2] for name in others} == {"dist-info"}
    assert not [name for name in names if "test" in name or "training" in name or "node_modules" in name]


@pytest.mark.slow
def test_the_wheel_runs_where_there_is_no_checkout(wheel: Path, tmp_path: Path) -> None:
    """The sources of this checkout are on the path of the test's Python; what was unpacked comes before them."""
    ZipFile(wheel).extractall(tmp_path / "site")

    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        return subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout

    assert all(path.startswith(str(tmp_path)) for path in json.loads(run("-c", UNPACKED)))
    assert run("-m", "scrubjay", "model", "path", "starter").startswith(str(tmp_path / "site"))
    assert "LSP" in run("-m", "scrubjay", "lsp", "--help")


def test_users_get_neither_tests_nor_training() -> None:
    unwanted = [name for name in PROJECT["dependencies"] if name.startswith(NOT_FOR_USERS)]
    assert not unwanted
