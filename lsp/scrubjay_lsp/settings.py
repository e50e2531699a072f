"""What a user may set, in `initializationOptions` or in the section `scrubjay` of the editor's configuration.

A value that cannot be used is replaced by its default and named to the user.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Popup = Literal["automatic", "invoked", "off"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class InlineSettings:
    """Ghost text (`textDocument/inlineCompletion`).

    `max_items`: how many alternatives an explicit request gets; an automatic one gets one.
    `replace`: a text may take the place of closing brackets right of the cursor, if the editor knows such items.
    `max_prompt_ms`: a prompt that needs longer is answered with nothing and announced when ready; 0 waits for it.
    """

    enabled: bool = True
    max_items: int = 3
    replace: bool = True
    max_prompt_ms: int = 0


@dataclass(frozen=True, slots=True)
class CompletionSettings:
    """The completion menu (`textDocument/completion`), for editors without ghost text; fields as above.

    `popup`: "automatic" also answers what the editor asks unbidden after a trigger character.
    """

    popup: Popup = "invoked"
    max_items: int = 1
    max_prompt_ms: int = 2000


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings; `languages` maps language identifiers, and "*" for all others, to whether they are completed,
    `next_edit` to whether next edits are proposed: where neither says so, they are not.

    `max_tokens` 0 leaves the length to the daemon. `notifications`: whether `scrubjay/ready` is sent.
    `socket` "" means the usual place. `model` is what the daemon is started with, "" for what its own configuration says.
    """

    inline: InlineSettings = field(default_factory=InlineSettings)
    completion: CompletionSettings = field(default_factory=CompletionSettings)
    languages: Mapping[str, bool] = field(default_factory=dict)
    next_edit: Mapping[str, bool] = field(default_factory=dict)
    max_tokens: int = 0
    progress: bool = True
    notifications: bool = True
    start_daemon: bool = True
    socket: str = ""
    model: str = ""

    def completes(self, language: str) -> bool:
        """Whether documents in `language` are completed."""
        return self.languages.get(language, self.languages.get("*", True))

    def proposes(self, language: str) -> bool:
        """Whether next edits are proposed to who is in a document in `language`."""
        return self.next_edit.get(language, self.next_edit.get("*", False))


def read_settings(options: object) -> tuple[Settings, list[str]]:
    """The settings in `options`, as JSON gave them, and a sentence for each thing in it that cannot be used.

    Keys that belong to other tools (Copilot clients send `editorInfo`) are passed over.
    """
    section = _Section(options if isinstance(options, Mapping) else {}, "", [])
    inline, completion = section.part("inline"), section.part("completion")
    defaults, inline_default, completion_default = Settings(), InlineSettings(), CompletionSettings()
    settings = Settings(
        inline=InlineSettings(
            enabled=inline.flag("enabled", inline_default.enabled),
            max_items=inline.number("maxItems", inline_default.max_items, 1, 3),
            replace=inline.flag("replace", inline_default.replace),
            max_prompt_ms=inline.number("maxPromptMs", inline_default.max_prompt_ms),
        ),
        completion=CompletionSettings(
            popup=completion.choice("popup", completion_default.popup),
            max_items=completion.number("maxItems", completion_default.max_items, 1, 3),
            max_prompt_ms=completion.number("maxPromptMs", completion_default.max_prompt_ms),
        ),
        languages=section.flags("languages"),
        next_edit=section.flags("nextEdit"),
        max_tokens=section.number("maxTokens", defaults.max_tokens),
        progress=section.flag("progress", defaults.progress),
        notifications=section.flag("notifications", defaults.notifications),
        start_daemon=section.flag("startDaemon", defaults.start_daemon),
        socket=section.text("socket", defaults.socket),
        model=section.text("model", defaults.model),
    )
    return settings, section.complaints


@dataclass(frozen=True, slots=True)
class _Section:
    """One object of the options; what is wrong with it goes to `complaints`, which its parts share."""

    values: Mapping[str, Any]
    prefix: str
    complaints: list[str]

    def part(self, key: str) -> "_Section":
        nothing: Mapping[str, Any] = {}
        values = self._take(key, nothing, lambda value: isinstance(value, Mapping), "an object")
        return _Section(values, f"{self.prefix}{key}.", self.complaints)

    def flag(self, key: str, default: bool) -> bool:
        return self._take(key, default, lambda value: isinstance(value, bool), "true or false")

    def text(self, key: str, default: str) -> str:
        return self._take(key, default, lambda value: isinstance(value, str), "a string")

    def number(self, key: str, default: int, least: int = 0, most: int = 1_000_000) -> int:
        expected = f"a whole number from {least} to {most}"
        return self._take(key, default, lambda value: type(value) is int and least <= value <= most, expected)

    def choice(self, key: str, default: Popup) -> Popup:
        choices = ("automatic", "invoked", "off")
        return self._take(key, default, lambda value: value in choices, " or ".join(f'"{name}"' for name in choices))

    def flags(self, key: str) -> Mapping[str, bool]:
        part = self.part(key)
        return {name: part.flag(name, True) for name in part.values}

    def _take(self, key: str, default: T, fits: Callable[[Any], bool], expected: str) -> T:
        """The value of `key` if it is there and `fits`, else `default`; null counts as absent."""
        value = self.values.get(key)
        if value is None:
            return default
        if fits(value):
            return value  # type: ignore[no-any-return]
        self.complaints.append(f"scrubjay.{self.prefix}{key} must be {expected}, not {value!r}; using {default!r}.")
        return default
