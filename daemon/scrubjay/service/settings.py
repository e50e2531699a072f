"""What the service needs to know."""

from dataclasses import dataclass

from scrubjay.prompt.fim import PromptStyle
from scrubjay.prompt.layouts import LayoutName
from scrubjay.protocol.messages import EngineSettings

NOTHING = 2.0
"""A confidence that no text has."""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What the service needs to know.

    Args:
        context_budget: how many tokens a prompt may have; 0 for as many as fit.
        warm, warm_on_battery: whether to warm what nobody asked for, and whether also while a battery is used.
        warm_delay_ms: how long a project must be left alone before it is warmed.
        layout: in which form prompts are made; see `Layouts`.
        latency_budget_ms: time budget for prefilling after the cursor jumps, see `window_limit`; 0 for the usual.
        rules: whether completions end and are shown by the completion rules, where a request does not say otherwise.
        watch: whether prompts show files that are not open, too.
        prompt_style: how the model is asked to fill in; see `styled`.
        confidence: the least confidence of what is shown unasked, from 0 to 1; 0 shows everything. See `Finish.min_confidence`.
        languages: in which anything is shown unasked; empty for all.
        idle_unload_s: after how long without work the engine is ended until there is some; 0 for never.
        show_secrets: whether these may be files that usually hold keys or passwords.
    """

    engine: EngineSettings
    context_budget: int = 0
    warm: bool = True
    warm_delay_ms: float = 300.0
    layout: LayoutName = "anchored"
    latency_budget_ms: float = 0.0
    rules: bool = True
    warm_on_battery: bool = False
    watch: bool = True
    prompt_style: PromptStyle = "auto"
    confidence: float = 0.0
    languages: tuple[str, ...] = ()
    show_secrets: bool = False
    idle_unload_s: float = 0.0

    def least_confidence(self, language: str) -> float:
        """Of what is shown unasked in a document of that language; above 1 where nothing is."""
        return self.confidence if not self.languages or language in self.languages else NOTHING
