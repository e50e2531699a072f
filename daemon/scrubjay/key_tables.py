"""The keys of a configuration: who may use the daemon over `--http`, and what is due to each.

A key itself is nowhere but with its user: the configuration has its SHA-256, which tells it and does not give it away, because
keys are random and long.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scrubjay.errors import UsageError

MAX_REQUESTS = 8
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_HASH = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class KeyTable:
    """One key.

    Args:
        name: of whoever has it.
        digest: the SHA-256 of the key.
        weight: his share of the model where several want it, beside those of the others.
        group: the name of those who share contexts and records with him; his own if nobody does.
        max_requests: how many requests he may have in flight.
    """

    name: str
    digest: bytes
    weight: float = 1.0
    group: str = ""
    max_requests: int = MAX_REQUESTS


def new_key(name: str) -> tuple[str, str]:
    """A new key, and the lines of the configuration that let in who has it.

    Raises:
        UsageError: the name is none.
    """
    _require_name(name)
    key = f"sj-{secrets.token_urlsafe(32)}"
    table = name if "." not in name else f'"{name}"'
    return key, f'[keys.{table}]\nhash = "sha256:{digest_of(key).hex()}"\n'


def digest_of(key: str) -> bytes:
    """What the configuration has of a key."""
    return hashlib.sha256(key.encode(errors="replace")).digest()


def key_tables(tables: Mapping[str, Mapping[str, Any]]) -> tuple[KeyTable, ...]:
    """The keys of these tables, by name.

    Raises:
        UsageError: a table is wrong.
    """
    keys = [_table(name, values) for name, values in tables.items()]
    names, digests = {key.name for key in keys}, [key.digest for key in keys]
    for key in keys:
        if key.group in names - {key.name}:
            raise UsageError(
                f"{key.group!r} is a key, and no group; give those who share contexts a group of another name."
            )
        if digests.count(key.digest) > 1:
            raise UsageError(
                f"The key {key.name!r} is that of another name, too; `scrubjay key new {key.name}` makes one."
            )
    return tuple(keys)


def parse_hash(value: str) -> bytes:
    """The SHA-256 of a key."""
    if not (match := _HASH.fullmatch(value)):
        raise ValueError("the SHA-256 of a key; `scrubjay key new NAME` prints a key and its lines")
    return bytes.fromhex(match[1])


def parse_weight(value: str) -> float:
    """A share beside others."""
    try:
        weight = float(value)
    except ValueError:
        weight = 0.0
    if not 0.01 <= weight <= 100:
        raise ValueError("a weight; give a number from 0.01 to 100")
    return weight


def parse_name(value: str) -> str:
    """The name of a group."""
    if not _NAME.fullmatch(value):
        raise ValueError("a name; take letters, digits, '.', '_' and '-'")
    return value


def _table(name: str, values: Mapping[str, Any]) -> KeyTable:
    _require_name(name)
    if "hash" not in values:
        raise UsageError(f"The key {name!r} has no hash; `scrubjay key new {name}` prints a key and its lines.")
    weight, n = values.get("weight", 1.0), values.get("max_requests", MAX_REQUESTS)
    return KeyTable(name, values["hash"], weight, values.get("group", name), n)


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a key; take letters, digits, '.', '_' and '-'.")
