"""Settings: what fits is taken, what does not falls back and is named, what is others' is passed over."""

import pytest

from scrubjay_lsp.settings import Settings, read_settings


@pytest.mark.parametrize("options", [None, {}, [], "x", {"editorInfo": {"name": "Emacs"}}, {"inline": None}])
def test_nothing_said_means_the_defaults(options: object) -> None:
    assert read_settings(options) == (Settings(), [])


def test_every_setting_can_be_set() -> None:
    settings, complaints = read_settings(
        {
            "inline": {"enabled": False, "maxItems": 2, "replace": False, "maxPromptMs": 5},
            "completion": {"popup": "automatic", "maxItems": 3, "maxPromptMs": 0},
            "languages": {"*": False, "python": True},
            "maxTokens": 40,
            "progress": False,
            "notifications": False,
            "startDaemon": False,
            "socket": "/run/x.sock",
        }
    )
    assert complaints == []
    assert (settings.inline.enabled, settings.inline.max_items, settings.inline.max_prompt_ms) == (False, 2, 5)
    assert not settings.inline.replace
    assert (settings.completion.popup, settings.completion.max_items) == ("automatic", 3)
    assert settings.completion.max_prompt_ms == 0
    assert (settings.max_tokens, settings.progress, settings.notifications) == (40, False, False)
    assert (settings.start_daemon, settings.socket) == (False, "/run/x.sock")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"inline": {"maxItems": 4}}, "scrubjay.inline.maxItems"),
        ({"inline": {"maxItems": True}}, "scrubjay.inline.maxItems"),
        ({"inline": []}, "scrubjay.inline"),
        ({"completion": {"popup": "always"}}, "scrubjay.completion.popup"),
        ({"completion": {"popup": []}}, "scrubjay.completion.popup"),
        ({"languages": {"python": "yes"}}, "scrubjay.languages.python"),
        ({"maxTokens": -1}, "scrubjay.maxTokens"),
        ({"startDaemon": 1}, "scrubjay.startDaemon"),
        ({"socket": 5}, "scrubjay.socket"),
    ],
)
def test_a_value_that_does_not_fit_falls_back_and_is_named(options: object, name: str) -> None:
    settings, [complaint] = read_settings(options)
    assert complaint.startswith(f"{name} must be ")
    assert settings.completes("python")
    assert settings.inline == Settings().inline


def test_languages() -> None:
    settings, _ = read_settings({"languages": {"*": False, "python": True}})
    assert settings.completes("python")
    assert not settings.completes("markdown")
    assert Settings().completes("markdown")
