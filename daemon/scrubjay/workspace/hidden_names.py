"""Names of files and folders that are never shown to a model, whatever rules say."""

import re
from collections.abc import Iterable
from fnmatch import translate

IGNORE_FILES = (".gitignore", ".scrubjayignore")
"""In a folder they count as one file, the second after the first."""
HIDDEN_FOLDERS = frozenset({".git", ".hg", ".svn", ".jj", "node_modules", "__pycache__", ".venv"})
"""Folders that nobody edits by hand."""


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)))


_LEFTOVER_FOLDERS = frozenset({".history", ".ipynb_checkpoints", ".idea", ".vs"})
_LISTS = (
    *("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "deno.lock"),
    *("poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock", "pixi.lock", "pylock.toml", "pylock.*.toml"),
    *(
        "Cargo.lock",
        "go.sum",
        "Gemfile.lock",
        "composer.lock",
        "mix.lock",
        "pubspec.lock",
        "Podfile.lock",
        "flake.lock",
    ),
    *("packages.lock.json", "gradle.lockfile", ".terraform.lock.hcl"),
)
"""Long lists that programs write whenever something is installed."""
_MARKERS = ("py.typed", ".gitkeep", ".keep", *(f"{name}{end}" for name in ("LICENSE", "COPYING") for end in ("", ".*")))
"""What they say is that they are there, or nothing about the code."""
_GENERATED = (
    "*_pb2.py",
    "*_pb2.pyi",
    "*_pb2_grpc.py",
    "*.pb.go",
    "*.pb.h",
    "*.pb.cc",
    "*.min.js",
    "*.min.css",
    "*.map",
)
_LEFTOVERS = (
    *("*~", "#*#", ".#*", "4913", ".*.sw?", ".*.kate-swp", "*___jb_tmp___", "*___jb_old___"),
    *("*.orig", "*.rej", "*.bak", ".goutputstream-*", ".nfs*", ".fuse_hidden*", ".DS_Store"),
)
"""What editors, merges and file systems write beside a file: mostly the very text that is being edited, once more."""
_HIDDEN_FILES = _any_of((".git", *IGNORE_FILES, *_LISTS, *_MARKERS, *_GENERATED, *_LEFTOVERS))

_SECRET_FOLDERS = frozenset({".ssh", ".gnupg", ".aws", ".azure", ".kube"})
_SECRETS = (
    *(".env*", "*.env", ".netrc", "_netrc", ".npmrc", ".yarnrc.yml", ".pypirc", ".htpasswd", ".pgpass", ".my.cnf"),
    *(".git-credentials", ".dockercfg", ".s3cfg", ".boto", ".vault-token", ".terraformrc", "*.tfvars", "*.tfstate*"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.p8", "*.ppk", "*.jks", "*.keystore", "*.kdbx", "*.ovpn"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "credentials*", "client_secret*.json"),
    *(f"secret{plural}.{kind}" for plural in ("", "s") for kind in ("yaml", "yml", "json", "toml", "ini", "txt")),
)
_KEY_FILE = r"id_[^.]*(?:\.(?:pub|old|bak))?\Z"
"""`id_deploy` is a key, and `id_generator.py` is none."""
_SECRET_FILES = re.compile(f"{_any_of(_SECRETS).pattern}|{_KEY_FILE}", re.IGNORECASE)


def is_hidden_folder(name: str) -> bool:
    """Whether nothing in folders of that name is ever shown."""
    return name in HIDDEN_FOLDERS or name in _LEFTOVER_FOLDERS


def is_hidden_file(name: str) -> bool:
    """Whether files of that name are never shown: ignore files, markers, and what nobody writes by hand."""
    return _HIDDEN_FILES.match(name) is not None


def is_secret(name: str, is_folder: bool) -> bool:
    """Whether files, or folders, of that name usually hold keys or passwords."""
    if is_folder:
        return name in _SECRET_FOLDERS
    return _SECRET_FILES.match(name) is not None
