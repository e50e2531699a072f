"""llama-server and llama-bench, built from the very llama.cpp that the installed llama-cpp-python was built from.

python -m tests.benchmarks.peer        (the same as `make bench-peer`; some 10 minutes on 2 cores, once)
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "peer"
PACKAGE = "llama-cpp-python"
TARGETS = ("llama-server", "llama-bench")
# As llama-cpp-python builds it, but with the programs; neither a page for browsers nor HTTPS makes a completion.
OPTIONS = (
    "CMAKE_BUILD_TYPE=Release",
    "BUILD_SHARED_LIBS=ON",
    "LLAMA_BUILD_UI=OFF",
    "LLAMA_USE_PREBUILT_UI=OFF",
    "LLAMA_OPENSSL=OFF",
    "LLAMA_BUILD_TESTS=OFF",
    "LLAMA_BUILD_EXAMPLES=OFF",
    "LLAMA_BUILD_APP=OFF",
)


def library_version() -> str:
    """Version of the installed llama-cpp-python."""
    return version(PACKAGE)


def program(name: str) -> Path | None:
    """The peer's program `name`, or None as long as it has not been built."""
    path = CACHE / library_version() / "build" / "bin" / name
    return path if path.exists() else None


def build() -> None:
    """Fetch the source and compile it; finished steps are not repeated.

    Raises:
        subprocess.CalledProcessError: pip or cmake failed; what they said is on the terminal.
    """
    folder = CACHE / library_version()
    source, made = folder / "source", folder / "build"
    if not (source / "CMakeLists.txt").exists():
        _fetch(source)
    generator = ("-G", "Ninja") if shutil.which("ninja") else ()
    _call("cmake", "-S", source, "-B", made, *generator, *(f"-D{option}" for option in OPTIONS))
    _call("cmake", "--build", made, "--target", *TARGETS, "--parallel", os.cpu_count() or 1)


def _fetch(source: Path) -> None:
    """Unpack the vendored llama.cpp of the source distribution to `source`."""
    source.parent.mkdir(parents=True, exist_ok=True)
    wanted = f"{PACKAGE}=={library_version()}"
    with tempfile.TemporaryDirectory(dir=source.parent) as name:
        folder = Path(name)
        _call(sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--dest", folder, wanted)
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        (unpacked,) = folder.glob("*/vendor/llama.cpp")
        unpacked.replace(source)


def _call(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True)


if __name__ == "__main__":
    if not shutil.which("cmake"):
        sys.exit("cmake is needed to build llama-server; `pip install -e .[bench]` brings it.")
    build()
    print(f"llama-server and llama-bench of {PACKAGE} {library_version()} are in {program('llama-server')}.")
