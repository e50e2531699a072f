"""The installer: what it shows of pip's long output, and what it asks of the machine."""

import pytest

from tools.install import missing, progress, show

COMPILER = "  [{}/193] /usr/bin/g++ -DGGML_BUILD -o a.o -c a.cpp"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (COMPILER.format(97), "compiling llama.cpp: 97 of 193 files"),
        ("Collecting aiohttp>=3.14 (from scrubjay==0.1.0)\n", "Collecting aiohttp>=3.14 (from scrubjay==0.1.0)"),
        ("  Building wheel for llama-cpp-python (pyproject.toml): started", None),
        ("  -- Performing Test GGML_MACHINE_SUPPORTS_i8mm", ""),
        ("  array[1/2] = 3", ""),
        ("", ""),
    ],
)
def test_what_a_line_says_about_how_far_it_is(line: str, shown: str | None) -> None:
    assert progress(line, is_fine=True) == (line.strip() if shown is None else shown)


def test_a_log_gets_a_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    show((COMPILER.format(number) for number in range(1, 194)), is_terminal=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1] for line in lines] == [f"{tenth * 10} %" for tenth in range(11)]


def test_a_terminal_gets_one_line_that_changes(capsys: pytest.CaptureFixture[str]) -> None:
    show((COMPILER.format(number) for number in range(1, 194)), is_terminal=True)
    shown = capsys.readouterr().out
    assert shown.count("\n") == 1
    assert shown.rstrip().endswith("compiling llama.cpp: 193 of 193 files")


def test_this_machine_has_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing() == ""
    monkeypatch.setenv("PATH", "")
    assert "C++ compiler" in missing()
