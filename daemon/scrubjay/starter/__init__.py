"""The starter model: a small fill-in-the-middle model for Python that comes with Scrubjay, and the program that trained it.

`model_path()` needs nothing but the standard library. Training needs the extra `train`; see `python -m scrubjay.starter --help`.
"""

from pathlib import Path


def model_path() -> Path:
    """The path of the GGUF file of the starter model."""
    return Path(__file__).with_name("starter.gguf")
