"""The starter model: a small fill-in-the-middle model for Python that comes with Scrubjay.

`model_path()` needs nothing but the standard library. The program that trains it is in a checkout, in `tools/training/`.
"""

from pathlib import Path

LANGUAGES = ("python",)
"""The identifiers of the languages that it learnt."""


def model_path() -> Path:
    """The path of the GGUF file of the starter model."""
    return Path(__file__).with_name("starter.gguf")
