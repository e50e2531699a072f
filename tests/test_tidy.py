"""The house rules that a machine can check: arrows between modules, who may import what, sizes, style, types.

The table of packages is that of docs/architecture.md, so it cannot be wrong.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "scrubjay": ROOT / "daemon" / "scrubjay",
    "scrubjay_lsp": ROOT / "lsp" / "scrubjay_lsp",
    "scrubjay_training": ROOT / "tools" / "training" / "scrubjay_training",
}
FOLDERS = ("daemon", "lsp", "tests", "tools", "clients")
LANGUAGE_SERVER = "scrubjay_lsp"
PYTHON_CLIENT = ROOT / "clients" / "python" / "scrubjay_client.py"
PURE = (
    "errors",
    "positions",
    "tokens",
    "code_text",
    "outline",
    "protocol",
    "tokenizer",
    "prompt",
    "completion",
    "nextedit",
)
MAX_LINES = 400
MAX_METHODS = 15
MAX_FIELDS = 12

OPEN_TO_THE_LANGUAGE_SERVER = {
    "scrubjay",
    *(f"scrubjay.{name}" for name in ("process.client", "process.peer", "protocol.messages")),
    *(f"scrubjay.{name}" for name in ("config", "errors", "isolation", "loopback", "positions", "uris")),
}
OPEN_TO_ITS_STARTER = {"scrubjay.process.lifecycle", "scrubjay.process.about"}
"""For the one module of the language server that starts a daemon."""
NOT_FOR_STATE = ("asyncio", "threading", "time", "llama_cpp")
DOORS = {
    "llama_cpp": ("scrubjay.llama",),
    "watchdog": ("scrubjay.workspace.folder_watches",),
    "aiohttp.web": ("scrubjay.http",),
    "pygls": ("scrubjay_lsp",),
    "tree_sitter": ("scrubjay.outline.grammars",),
}
"""What only one module, or one package, may import."""
MACHINE_PATH = re.compile(
    "|".join(
        (
            *(rf"{re.escape(str(path))}/" for path in {ROOT, Path.home()} if path != Path(path.anchor)),
            r"(?<!\w)/(root|Users)/\w",
        )
    )
)
"""Folders of the machine that the tests run on, and of others like it."""


def module_name(path: Path, package: str) -> str:
    parts = path.relative_to(PACKAGES[package]).with_suffix("").parts
    return ".".join((package, *(part for part in parts if part != "__init__")))


@cache
def modules() -> dict[str, Path]:
    """The file of each module of the packages."""
    return {
        module_name(path, package): path
        for package, folder in PACKAGES.items()
        for path in sorted(folder.rglob("*.py"))
    }


def dotted(path: Path) -> tuple[str, ...]:
    """The parts of the name by which the module at `path` is imported."""
    for folder in ("daemon", "lsp", "tools/training", "clients/python"):
        if path.is_relative_to(ROOT / folder):
            return path.relative_to(ROOT / folder).with_suffix("").parts
    return path.relative_to(ROOT).with_suffix("").parts


def python_files() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def text_files() -> Iterator[Path]:
    """What a reader may meet: every file that is not binary, in the folders and at the root."""
    at_root = [path for path in ROOT.iterdir() if path.is_file()]
    for path in [*at_root, *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file())]:
        if (
            "__pycache__" not in path.parts
            and "node_modules" not in path.parts
            and b"\0" not in path.read_bytes()[:8192]
        ):
            yield path


@cache
def imports(path: Path) -> frozenset[str]:
    """Everything that a module imports, wherever in it: modules, and names taken from them as if they were modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


@cache
def packages() -> dict[str, set[str]]:
    """What each package may import, in the order of docs/architecture.md."""
    rows = re.findall(
        r"^\| `(\w+)` \| ([\w, ]*) ?\|", (ROOT / "docs" / "architecture.md").read_text("utf-8"), re.MULTILINE
    )
    return {name: {other.strip() for other in others.split(",") if other.strip()} for name, others in rows}


def package_of(module: str) -> str:
    """The package of a module: the first name below `scrubjay`, or the language server."""
    first, *rest = module.split(".")
    return rest[0] if first == "scrubjay" and rest else first


def own_imports(module: str) -> Iterator[str]:
    """The modules of the packages that `module` imports."""
    for name in imports(modules()[module]):
        if name in modules() and name != module:
            yield name


def test_packages_import_what_the_architecture_says_and_nothing_else() -> None:
    found: dict[str, set[str]] = {}
    for module in modules():
        if module.startswith("scrubjay.") and module != "scrubjay.__main__":
            found.setdefault(package_of(module), set()).update(map(package_of, own_imports(module)))
    assert {name: others - {name} for name, others in found.items()} == packages()


def test_no_arrow_points_up() -> None:
    above: set[str] = {"scrubjay", LANGUAGE_SERVER}
    for name, others in packages().items():
        assert others <= above, f"{name} imports {others - above}, which stand below it"
        above.add(name)


def test_private_names_stay_in_their_package() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {node.module}.{alias.name}"
        for path in python_files()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if re.match("_[^_]", alias.name) and node.module.rpartition(".")[0] != ".".join(dotted(path)[:-1])
    ]
    assert not wrong, "\n".join(wrong)


def test_no_two_modules_import_each_other() -> None:
    graph = {module: set(own_imports(module)) for module in modules()}
    while free := [module for module, others in graph.items() if not others & graph.keys()]:
        for module in free:
            del graph[module]
    assert not graph, f"among these are circles: {sorted(graph)}"


def test_the_language_server_is_only_a_client() -> None:
    allowed = OPEN_TO_THE_LANGUAGE_SERVER
    wrong = [
        f"{module} imports {other}"
        for module in modules()
        if module.startswith("scrubjay_lsp")
        for other in own_imports(module)
        if not other.startswith("scrubjay_lsp")
        and other not in (allowed | OPEN_TO_ITS_STARTER if module == "scrubjay_lsp.daemon" else allowed)
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_command_line_knows_the_language_server() -> None:
    knowing = [
        module
        for module in modules()
        if not is_within(module, LANGUAGE_SERVER)
        if any(is_within(name, LANGUAGE_SERVER) for name in own_imports(module))
    ]
    assert knowing == ["scrubjay.cli.main"]


@pytest.mark.parametrize("library", DOORS)
def test_a_library_has_one_door(library: str) -> None:
    wrong = [
        f"{module} imports {name}"
        for module, path in modules().items()
        for name in imports(path)
        if is_within(name, library) and not any(is_within(module, door) for door in DOORS[library])
    ]
    assert not wrong, "\n".join(wrong)


def test_pure_packages_know_neither_clocks_nor_tasks_nor_the_model() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, path in modules().items()
        if package_of(module) in PURE
        for name in imports(path)
        if any(is_within(name, library) for library in NOT_FOR_STATE)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_file_is_long() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in python_files()}
    wrong = [f"{path.relative_to(ROOT)}: {n} lines" for path, n in lengths.items() if n > MAX_LINES]
    assert not wrong, "\n".join(wrong)


def test_no_class_is_large() -> None:
    wrong = {
        f"{module}.{node.name}": (n_methods, n_fields)
        for module, path in {**modules(), "scrubjay_client": PYTHON_CLIENT}.items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
        for n_methods, n_fields in [(len(public_methods(node)), len(own_fields(node)))]
        # A frozen dataclass is a value: options, a message. Its fields are what there is to say, and nobody changes them.
        if n_methods > MAX_METHODS or (n_fields > MAX_FIELDS and not is_value(node))
    }
    assert not wrong, {name: f"{counts[0]} public methods, {counts[1]} fields" for name, counts in wrong.items()}


def test_no_file_mentions_one_machine() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in text_files()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "command",
    [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)],
    ids=lambda command: "-".join(command[:2]),
)
def test_a_tool_finds_nothing(command: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def public_methods(node: ast.ClassDef) -> list[str]:
    return [name for name, _ in methods(node) if not name.startswith("_")]


def own_fields(node: ast.ClassDef) -> set[str]:
    """Fields of a dataclass, and attributes that methods set on `self`."""
    declared = {
        item.target.id
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and not is_class_variable(item)
    }
    return declared | {
        item.attr
        for _, method in methods(node)
        for item in ast.walk(method)
        if isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store) and is_self(item.value)
    }


def methods(node: ast.ClassDef) -> list[tuple[str, ast.AST]]:
    return [(item.name, item) for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]


def is_value(node: ast.ClassDef) -> bool:
    """Whether it is a frozen dataclass, or a tuple with names."""
    decorators = [ast.unparse(item) for item in node.decorator_list]
    return any("dataclass" in item and "frozen=True" in item for item in decorators) or any(
        ast.unparse(base) == "NamedTuple" for base in node.bases
    )


def is_class_variable(item: ast.AnnAssign) -> bool:
    return "ClassVar" in ast.unparse(item.annotation)


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"
