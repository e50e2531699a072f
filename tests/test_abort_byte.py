"""The shared byte in all its forms, between real processes."""

import ctypes
import os
import subprocess
import sys

import pytest

from scrubjay import abort_byte
from scrubjay.abort_byte import AbortByte

OTHER = """
import ctypes, sys
from scrubjay.abort_byte import AbortByte
byte = AbortByte.open(sys.argv[1])
print(ord(ctypes.c_char.from_address(byte.address).value), flush=True)
sys.stdin.readline()
print(ord(ctypes.c_char.from_address(byte.address).value), flush=True)
byte.clear()
"""


def value(byte: AbortByte) -> int:
    """As llama.cpp reads it."""
    return ord(ctypes.c_char.from_address(byte.address).value)


@pytest.mark.parametrize("form", ["as here", "temporary file", "name"])
def test_two_processes_have_one_byte(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if form == "temporary file":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(abort_byte, "inherits_descriptors", lambda: form != "name")
    byte = AbortByte.create()
    assert bool(byte.descriptors) is (form != "name")
    pipe = subprocess.PIPE
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER, byte.argument],
        pass_fds=byte.descriptors,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )
    assert other.stdout
    assert other.stdout.readline() == "0\n"
    byte.set()
    assert value(byte) == 1
    assert other.communicate("\n") == ("1\n", ""), "it ends without a word about memory that has leaked"
    assert value(byte) == 0
    again = AbortByte.open(byte.argument)
    byte.set()
    assert value(again) == 1, "the end of the other process took nothing away"
    byte.unlink()
    byte.clear()
    assert value(again) == 0, "who has it keeps it"
    with pytest.raises(OSError, match=r"Bad file descriptor|No such file"):
        AbortByte.open(byte.argument)
