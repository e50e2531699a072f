"""What a model's name means, and which of a repository's files it is."""

from pathlib import Path

import pytest

from scrubjay.errors import ModelRefused, UsageError
from scrubjay.process.model_names import HubName, choose_files, is_hub_name, parse_hub_name

REPO = (
    "README.md",
    "it-BF16.gguf",
    "it-Q4_K_M.gguf",
    "it-Q8_0.gguf",
    "it-UD-Q4_K_XL.gguf",
    "mmproj-it-Q8_0.gguf",
    "big/it-Q6_K-00001-of-00003.gguf",
    "big/it-Q6_K-00002-of-00003.gguf",
    "big/it-Q6_K-00003-of-00003.gguf",
)
BIG = [f"big/it-Q6_K-0000{number}-of-00003.gguf" for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("wanted", "files"),
    [
        ("", ["it-Q4_K_M.gguf"]),
        ("Q4_K_M", ["it-Q4_K_M.gguf"]),
        ("q4_k_m", ["it-Q4_K_M.gguf"]),
        ("bf16", ["it-BF16.gguf"]),
        ("UD-Q4_K_XL", ["it-UD-Q4_K_XL.gguf"]),
        ("it-Q4_K_M.gguf", ["it-Q4_K_M.gguf"]),
        ("Q6_K", BIG),
        (BIG[0], BIG),
        ("it-Q6_K-00001-of-00003.gguf", BIG),
    ],
)
def test_choosing_a_file(wanted: str, files: list[str]) -> None:
    assert choose_files(REPO, wanted) == files
    assert choose_files(reversed(REPO), wanted) == files


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (["a-Q4_K_M.gguf", "a-Q2_K.gguf"], "a-Q4_K_M.gguf"),
        (["a-Q2_K.gguf", "mmproj-a-Q8_0.gguf"], "a-Q2_K.gguf"),
        (["a-BF16.gguf", "a-IQ2_XS.gguf", "a-Q5_K_M.gguf", "a-Q6_K.gguf"], "a-Q5_K_M.gguf"),
        (["a-BF16.gguf", "a-IQ2_XS.gguf"], "a-IQ2_XS.gguf"),
        (["a-BF16.gguf"], "a-BF16.gguf"),
        (["a-UD-Q4_K_XL.gguf", "a-Q8_0.gguf"], "a-UD-Q4_K_XL.gguf"),
    ],
)
def test_choosing_without_being_told(files: list[str], chosen: str) -> None:
    assert choose_files(files) == [chosen]


def test_a_repository_needs_no_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("hf:me/it", "hf:", "me/it", "me/it:Q8_0", "me/it-GGUF:big/a.gguf"):
        assert is_hub_name(name), name
    for name in ("starter", "/models/a", "./me/it", "~/a", "models/a.gguf", "a.gguf", "a/b/c"):
        assert not is_hub_name(name), name
    (tmp_path / "me").mkdir()
    (tmp_path / "me" / "it").touch()
    assert not is_hub_name("me/it"), "a file of that name is there"
    assert parse_hub_name("me/it:Q8_0") == HubName("me/it", "Q8_0")


@pytest.mark.parametrize("wanted", ["Q4", "Q4_K", "K_M", "it-Q5.gguf", "README.md", "mmproj-it-Q8_0.gguf"])
def test_a_file_that_is_not_there(wanted: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        choose_files(REPO, wanted)
    assert "it-Q8_0.gguf" in str(caught.value), "it says what there is"


def test_repositories_without_a_whole_model() -> None:
    with pytest.raises(ModelRefused, match="no GGUF file"):
        choose_files(["model.safetensors", "mmproj-a.gguf"])
    with pytest.raises(ModelRefused, match="lacks big/it-Q6_K-00002-of-00003"):
        choose_files([BIG[0], BIG[2]])


def test_names_of_the_hub() -> None:
    assert parse_hub_name("hf:me/it-GGUF") == HubName("me/it-GGUF")
    assert parse_hub_name("hf:me/it:Q8_0") == HubName("me/it", "Q8_0")
    assert parse_hub_name("hf:me/it:big/a.gguf") == HubName("me/it", "big/a.gguf")
    for wrong in ("hf:", "hf:it", "hf:me/it:", "hf:me/it/more", "hf:me it/x"):
        with pytest.raises(UsageError, match="not of the form"):
            parse_hub_name(wrong)
