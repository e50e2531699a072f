"""What the service needs to know."""

from dataclasses import dataclass, field

from scrubjay.completion.acceptance import AcceptanceTable
from scrubjay.completion.rules import Unasked
from scrubjay.engine.remote.address import is_remote
from scrubjay.model_tables import Purpose
from scrubjay.prompt.fim import PromptStyle
from scrubjay.prompt.layouts import LayoutName
from scrubjay.protocol.messages import EngineSettings


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What there is to know of one model.

    Args:
        name: as requests name it; "" for what its file says.
        purposes: what it is asked for where a request names no model.
        context_budget, latency_budget_ms, layout, prompt_style, idle_unload_s: see `ServiceSettings`.
    """

    engine: EngineSettings
    name: str = ""
    purposes: tuple[Purpose, ...] = ("complete",)
    context_budget: int = 0
    latency_budget_ms: float = 0.0
    layout: LayoutName = "anchored"
    prompt_style: PromptStyle = "auto"
    idle_unload_s: float = 0.0

    @property
    def is_remote(self) -> bool:
        """Whether another server runs it."""
        return is_remote(self.engine.model)


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What the service needs to know. The first fields are those of the model that completes code; there may be `others`.

    Args:
        context_budget: how many tokens a prompt may have; 0 for as many as fit.
        warm, warm_on_battery: whether to warm what nobody asked for, and whether also while a battery is used.
        warm_delay_ms: how long a project must be left alone before it is warmed.
        layout: in which form prompts are made; see `Layouts`.
        latency_budget_ms: time budget for prefilling after the cursor jumps, see `window_limit`; 0 for the usual.
        rules: whether completions end and are shown by the completion rules, where a request does not say otherwise.
        watch: whether prompts show files that are not open, too.
        prompt_style: how the model is asked to fill in; see `styled`.
        unasked: what is shown for which nobody asked.
        idle_unload_s: after how long without work the engine is ended until there is some; 0 for never.
        acceptance: what was counted so far of what became of completions.
        show_secrets: whether these may be files that usually hold keys or passwords.
        show_diff: whether prompts show what the branch has changed.
        name, purposes: of the model, see `ModelSettings`.
        others: more models, each loaded when it is asked for first.
        memory_budget: bytes that all engines may take together; 0 for a share of the machine's.
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
    unasked: Unasked = field(default_factory=Unasked)
    show_secrets: bool = False
    show_diff: bool = False
    idle_unload_s: float = 0.0
    acceptance: AcceptanceTable = field(default_factory=AcceptanceTable)
    name: str = ""
    purposes: tuple[Purpose, ...] = ("complete",)
    others: tuple[ModelSettings, ...] = ()
    memory_budget: int = 0

    @property
    def models(self) -> tuple[ModelSettings, ...]:
        """All models; the first one completes code."""
        first = ModelSettings(
            self.engine,
            self.name,
            self.purposes,
            context_budget=self.context_budget,
            latency_budget_ms=self.latency_budget_ms,
            layout=self.layout,
            prompt_style=self.prompt_style,
            idle_unload_s=self.idle_unload_s,
        )
        return first, *self.others
