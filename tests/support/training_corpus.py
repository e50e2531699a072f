"""Small texts to learn from."""

from scrubjay_training.collect import SourceFile

TEXT = '''import os
from pathlib import Path


class Shelf:
    """Books in a row."""

    def __init__(self, names):
        self.names = list(names)
        self.place = Path(os.curdir)

    def longest(self):
        if not self.names:
            return None
        return max(self.names, key=len)


def describe(shelf, prefix="a shelf"):
    longest = shelf.longest()
    if longest is None:
        return f"{prefix} without books"
    return f"{prefix}: {longest}"
'''


def corpus(n_files: int = 6) -> list[SourceFile]:
    """Files of two packages whose texts differ in their names, the first of them held out."""
    words = ("shelf", "drawer", "basket", "crate", "barrel", "chest")
    return [
        SourceFile("even" if i % 2 == 0 else "odd", f"pack/{word}.py", TEXT.replace("shelf", word), held_out=i == 0)
        for i, word in enumerate(words[:n_files])
    ]


def characters(text: str) -> list[int]:
    """A token for each character, above the special ones."""
    return [ord(character) + 10 for character in text]


SPECIAL_IDS = {
    "<|endoftext|>": 0,
    "<|fim_prefix|>": 1,
    "<|fim_middle|>": 2,
    "<|fim_suffix|>": 3,
    "<|fim_pad|>": 4,
    "<|repo_name|>": 5,
    "<|file_sep|>": 6,
}


def shown(tokens: list[int]) -> str:
    """The text of `characters` and special tokens."""
    names = {number: text for text, number in SPECIAL_IDS.items()}
    return "".join(names.get(token) or chr(token - 10) for token in tokens)
