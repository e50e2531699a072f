"""The installer: what it shows of pip's long output, and what it asks of the machine."""

import pytest

from tools.install import Progress, estimate, missing, show

COMPILER = "  [{}/193] /usr/bin/g++ -DGGML_BUILD -o a.o -c a.cpp"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (COMPILER.format(10), "compiling llama.cpp: 10 of 193 files"),
        ("Collecting aiohttp>=3.14 (from scrubjay==0.1.0)\n", "fetching packages"),
        ("  Downloading aiohttp-3.14.0-cp311-cp311-manylinux.whl (1.7 MB)\n", "fetching packages"),
        ("  Building wheel for llama-cpp-python (pyproject.toml): started", "building packages"),
        ("Installing collected packages: xxhash, numpy\n", "installing packages"),
        ("  -- Performing Test GGML_MACHINE_SUPPORTS_i8mm", ""),
        ("  array[1/2] = 3", ""),
        ("", ""),
    ],
)
def test_what_a_line_says_about_how_far_it_is(line: str, shown: str) -> None:
    assert Progress(lambda: 0.0).after(line, is_fine=True) == shown


def test_what_is_left_is_reckoned_from_what_was_done() -> None:
    seconds = iter([0.0, 60.0, 200.0])
    progress = Progress(lambda: next(seconds))
    assert progress.after(COMPILER.format(1), is_fine=True).endswith(" files"), "too early to say"
    assert progress.after(COMPILER.format(50), is_fine=True).endswith("50 of 193 files, about 3 min left")
    assert progress.after(COMPILER.format(190), is_fine=True).endswith("less than a minute left")


@pytest.mark.parametrize(
    ("n_cores", "words"), [(1, "14 minutes on one core"), (2, "7 minutes on 2"), (64, "2 minutes")]
)
def test_the_estimate_is_that_of_the_machine(n_cores: int, words: str) -> None:
    assert words in estimate(n_cores)


def test_a_log_gets_a_line_for_each_step_and_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    fetched = [f"Collecting {name}" for name in "abc"]
    show([*fetched, *(COMPILER.format(number) for number in range(1, 194))], is_terminal=False)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.endswith("fetching packages")
    assert [line.split(": ")[1] for line in lines] == [f"{tenth * 10} %" for tenth in range(11)]


def test_a_terminal_gets_one_line_that_changes(capsys: pytest.CaptureFixture[str]) -> None:
    show((COMPILER.format(number) for number in range(1, 194)), is_terminal=True)
    shown = capsys.readouterr().out
    assert shown.count("\n") == 1
    assert "compiling llama.cpp: 193 of 193 files" in shown


def test_this_machine_has_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing() == ""
    monkeypatch.setenv("PATH", "")
    assert "C++ compiler" in missing()
