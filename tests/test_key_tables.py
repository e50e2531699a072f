"""Keys in the configuration: who is let in, and what is wrong with a table."""

import argparse
import hashlib

import pytest

from scrubjay.cli.configuration import key as key_command
from scrubjay.key_tables import MAX_REQUESTS, digest_of, new_key
from tests.test_config import complaint, configured

HASH = "sha256:" + "ab" * 32
OTHER = "cd" * 32
TWO = f"""
[keys.anna]
hash = "{HASH}"
group = "team"
weight = 2.5

[keys.bob-2]
hash = "{OTHER}"
max-requests = 3
"""


def test_a_table_is_a_key() -> None:
    anna, bob = configured(TWO).keys
    assert (anna.name, anna.digest, anna.weight, anna.group) == ("anna", bytes.fromhex("ab" * 32), 2.5, "team")
    assert (bob.name, bob.group, bob.weight, bob.max_requests) == ("bob-2", "bob-2", 1.0, 3)
    assert anna.max_requests == MAX_REQUESTS
    inline = f'keys = {{ anna = {{ hash = "{HASH}", group = "team", weight = 2.5 }} }}'
    assert configured(inline).keys == (anna,)
    assert configured("").keys == ()


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('[keys.anna]\nhash = "secret"\n', "anna.hash: 'secret' is not the SHA-256 of a key"),
        ("[keys.anna]\nweight = 2\n", "has no hash"),
        (f'[keys.anna]\nhash = "{HASH}"\nweight = 0\n', "anna.weight: '0' is not a weight"),
        (f'[keys.anna]\nhash = "{HASH}"\nwait = 1\n', "no option of a key"),
        (f'[keys.anna]\nhash = "{HASH}"\ngroup = "a@b"\n', "is not a name"),
        (f'[keys.anna]\nhash = "{HASH}"\nmax-requests = 0\n', "from 1 on"),
        (f'[keys."a@b"]\nhash = "{HASH}"\n', "no name of a key"),
        (TWO + f'[keys.eve]\nhash = "{"ef" * 32}"\ngroup = "bob-2"\n', "'bob-2' is a key, and no group"),
        (TWO + f'[keys.eve]\nhash = "{HASH}"\n', "that of another name"),
        ("keys = 3\n", "keys"),
    ],
)
def test_what_is_wrong_is_named(toml: str, words: str) -> None:
    assert words in complaint(toml)


@pytest.mark.parametrize("name", ["anna", "anna.b"])
def test_the_command_prints_a_key_and_the_lines_that_let_it_in(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert key_command(argparse.Namespace(name=name)) == 0
    printed = capsys.readouterr().out
    [made] = [line for line in printed.splitlines() if line.startswith("sj-")]
    assert len(made) > 40
    [entry] = configured(printed[printed.index("[keys.") :]).keys
    assert (entry.name, entry.digest) == (name, hashlib.sha256(made.encode()).digest())
    assert new_key(name)[0] != made
    assert digest_of(made) == entry.digest
