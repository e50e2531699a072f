"""What values of options look like as text: each function makes a value of a text.

ValueError says what is wanted, after "is not ...".
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
MIN_SIZE = 1 << 20
"""Of what is given in bytes. Less is a unit that was forgotten, be it G or M: llama-server's `--cache-ram 8192` means MiB."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


def parse_text(value: str) -> str:
    if not value:
        raise ValueError("a name; give one, or leave the option out")
    return value


def parse_path(value: str) -> Path:
    try:
        path = Path(parse_text(value)).expanduser().absolute()
    except RuntimeError:
        raise ValueError("a path; no user of this machine has such a home folder") from None
    if "\0" in value:
        raise ValueError("a path; give one without zero bytes")
    return path


def parse_path_or_none(value: str) -> Path | None:
    return None if value.lower() == "none" else parse_path(value)


def whole_from(least: int, word: str = "", meaning: int = 0) -> Callable[[str], int]:
    """A parser of whole numbers from `least` on; `word`, if any, may be written instead and stands for `meaning`."""

    def parse(value: str) -> int:
        # As a number it is what other programs on llama.cpp have: -1 for all layers.
        if word and (value.lower() == word or (meaning < 0 and value == str(meaning))):
            return meaning
        if not value.isdecimal() or int(value) < least:
            also = f", or {word!r}" if word else ""
            raise ValueError(f"a whole number; give one from {least} on{also}")
        return int(value)

    return parse


def parse_draft(value: str) -> int:
    """Tokens of a draft: -1 for as many as pay, 0 for none."""
    return 0 if value.lower() == "off" else whole_from(1, "auto", -1)(value)


def size_or(*words: str) -> Callable[[str], int]:
    """A parser of bytes: a number with its unit, K, M, G or T, each 1024 of the one before; each of `words` stands for 0."""

    def parse(value: str) -> int:
        if value.lower() in words:
            return 0
        advice = "give a number with its unit, such as 512M or 2GiB" + "".join(f", or {word!r}" for word in words[:1])
        match = _SIZE.fullmatch(value.strip())
        if not match:
            raise ValueError(f"a size; {advice}")
        n_bytes = int(float(match[1]) * _UNITS[match[2].upper()])
        if n_bytes < MIN_SIZE:
            raise ValueError(f"a size of {MIN_SIZE >> 20} MiB or more: it is {n_bytes:,} bytes; {advice}")
        return n_bytes

    return parse


def parse_share(value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError("a number from 0 to 1; give one such as 0.2")
    return share


def parse_flag(value: str) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if value.lower() not in words:
        raise ValueError("true or false; give one of them")
    return words[value.lower()]


def parse_address(value: str) -> tuple[str, int] | None:
    """HOST:PORT; an IPv6 host stands in brackets."""
    if value.lower() == "none":
        return None
    host, colon, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdecimal() and int(port) < 1 << 16):
        raise ValueError("an address; give one such as 127.0.0.1:8012, or 'none'")
    return host, int(port)


def one_of(*allowed: str) -> Callable[[str], Any]:
    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"known; give one of {', '.join(allowed)}")
        return value

    return parse


def some_of(*allowed: str) -> Callable[[str], Any]:
    """A parser of one word or several, with commas between them."""

    def parse(value: str) -> tuple[str, ...]:
        words = tuple(word.strip() for word in value.split(","))
        if not set(words) <= set(allowed):
            raise ValueError(f"known; give some of {', '.join(allowed)}")
        return words

    return parse
