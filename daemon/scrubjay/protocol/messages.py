"""What the daemon and its engine process say to each other, and how it looks on the wire.

A frame is two little-endian unsigned 32-bit lengths, a header, and the token array of the message as raw int32. Of the tokens
of a `Run` only those are sent that differ from the `Run` before. Headers are marshalled: both ends are the same interpreter,
and each key has five of them. The codec does no I/O: bytes in, messages out.
"""

from dataclasses import dataclass, field
from typing import Literal

from scrubjay.protocol.contexts import EngineStatus
from scrubjay.protocol.records import Forget, Forgotten
from scrubjay.tokens import EMPTY, Tokens

Reason = Literal["append", "truncate", "checkpoint", "paged", "cold", "repaired"]
"""Why a prompt cost what it cost: nothing was cut; cut in place; restored from a checkpoint; brought back from a branch; from 0;
from 0 after a failure."""

StopReason = Literal["end", "stop", "length", "time", "none"]
"""Why a generation ended: end token; stop string; token limit (or full context); time limit; nothing was to be generated."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the engine process needs to know about the model and the machine; fixed for its lifetime.

    Zero means "choose for me" in every count.

    Args:
        model: path of the GGUF file, or of the first part of a split one; or the name of a remote one.
        n_ctx: tokens in a context.
        n_threads: threads of the model.
        interval: tokens between checkpoints.
        checkpoint_budget: bytes for the checkpoints of all contexts together.
        gpu_layers: layers on the GPU, -1 for all.
        kv_type: type of the numbers in the KV cache.
        eager_load: read all weights and warm up before the first request.
        draft: the longest draft in tokens, 0 for none, -1 for as long as pays.
        swa_full: keep every token of sliding-window layers; None chooses.
        max_contexts: how many contexts there may be at a time.
        graph_reuse: let llama.cpp reuse the graph of the decode before.
        store: folder of the records, "" for none.
        store_budget, store_daily: bytes that they may take, and that may be written on one day.
        embeds: make vectors of texts, and nothing else.
        tokenizer, remote_key_file: of a remote model, files with its vocabulary and with its server's key, "" for none.
    """

    model: str
    n_ctx: int = 0
    n_threads: int = 0
    interval: int = 0
    checkpoint_budget: int = 0
    gpu_layers: int = -1
    kv_type: Literal["f16", "q8_0"] = "f16"
    eager_load: bool = True
    swa_full: bool | None = None
    max_contexts: int = 0
    graph_reuse: bool = True
    store: str = ""
    store_budget: int = 2 << 30
    store_daily: int = 16 << 30
    embeds: bool = False
    tokenizer: str = ""
    remote_key_file: str = ""
    draft: int = -1


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to generate. Temperature 0 is greedy. Times are in milliseconds, 0 for no limit.

    `grammar` is GBNF; `json_schema` is the text of a schema that takes its place. `logit_bias`: tokens, and what is added
    to their logits. `with_tokens`: pieces name their tokens; `n_probs` from 0 on: also how likely each was, and that many
    of the likeliest at its place. `typed`: with what the text begins, in tokens that the model chooses; it is no part of what is
    given out, nor of the count of tokens. Not together with a grammar, or with tokens. `with_confidence`: pieces say
    how likely the first tokens were. `prediction` is what the client thinks will be written, `expected` are texts of which
    parts may be: they save time.
    """

    max_tokens: int = 128
    temperature: float = 0.0
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    seed: int = 0
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    penalty_last_n: int = 64
    grammar: str = ""
    json_schema: str = ""
    logit_bias: tuple[tuple[int, float], ...] = ()
    infill: bool = False
    stop: tuple[str, ...] = ()
    stop_tokens: tuple[int, ...] = ()
    max_ms: int = 0
    ignore_end: bool = False
    with_margins: bool = False
    with_tokens: bool = False
    n_probs: int = -1
    typed: str = ""
    with_confidence: bool = False
    prediction: str = ""
    expected: tuple[str, ...] = ()


# --- from the daemon to the engine -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Open:
    """Load the model. Answered by `LoadProgress`..., then `Opened` or `LoadFailed`."""

    settings: EngineSettings


@dataclass(frozen=True, slots=True)
class Run:
    """Bring `tokens` into a context and, with `sampling`, generate after them.

    Answered by `PrefillProgress`..., `PrefillDone`, `Piece`..., and at last exactly one of `Done`, `Stopped` and `Failed`.

    Args:
        job: the daemon's number for it.
        context: key of the context that serves it; "" chooses by content.
        tokens: the whole prompt.
        boundaries: segment ends, as numbers of leading tokens: checkpoints are worth most there.
        hot: where the next edit is expected, as numbers of leading tokens.
        sampling: None only warms.
        cold: reuse nothing, in a context of its own whose content is never reused: the reference for equality.
        parts: arrays that the tokens begin with, as far as they are known; not sent.
        is_unasked: nobody waits for it, so it gives way to other programs that want the processors.
        group: whose it is: only what was held for the same group is reused.
    """

    job: int
    context: str = ""
    tokens: Tokens = field(default_factory=lambda: EMPTY)
    boundaries: tuple[int, ...] = ()
    hot: tuple[int, ...] = ()
    sampling: Sampling | None = None
    cold: bool = False
    parts: tuple[Tokens, ...] = field(default=(), repr=False)
    is_unasked: bool = False
    group: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """End `job` as soon as possible and keep its work; answered by that job's `Stopped` (or `Done`, if it was quicker).

    `goes_on`: it is run again soon, and is to go on with its text then.
    """

    job: int
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class AskStatus:
    """Answered by `EngineStatus`."""


@dataclass(frozen=True, slots=True)
class Close:
    """End the process in good order."""


# --- from the engine to the daemon -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """`fraction` (0 to 1) of `stage` ("weights", "warm-up") is done."""

    stage: str
    fraction: float


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the load-time probe found. Sizes in bytes, speeds in tokens per second, times in milliseconds.

    `cold_ratio` is the time of the first decode after loading, divided by that of a later one of the same length: how much
    slower a first completion would have been without the warm-up (page faults, thread start, graph building); 0 where the speeds
    are those of an earlier start. `state_size` is that of the largest checkpoint, 0 if the memory needs none. `device` is what
    runs the model: "cpu", or llama.cpp's name for the kind of GPU, such as "cuda" or "metal"; `gpu` is what its driver calls it,
    `gpu_memory` what all GPUs have of their own.
    `quantization` is that of most of the weights, such as "Q4_K_M", "" if the file does not say; `can_offload` says whether this
    llama.cpp has a GPU to use, `built_for` which kind it was built for, "" for none.
    `writes_typed`: see `Sampling.typed`; where the engine cannot do that, prompts end at the cursor.
    Of a remote model, `path` is a file with its vocabulary, `memory_class` "remote", `device` the address, `architecture` what
    serves it; what its server does not say is 0.
    """

    path: str
    name: str
    architecture: str
    memory_class: str
    n_ctx: int
    n_ctx_train: int
    n_vocab: int
    n_swa: int
    size: int
    n_params: int
    state_size: int
    interval: int
    n_ubatch: int
    checkpoint_budget: int
    max_contexts: int
    prefill_speed: float
    generation_speed: float
    load_ms: float
    warm_up_ms: float
    cold_ratio: float
    device: str = "cpu"
    n_threads: int = 0
    quantization: str = ""
    can_offload: bool = False
    gpu: str = ""
    gpu_memory: int = 0
    built_for: str = ""
    writes_typed: bool = True


@dataclass(frozen=True, slots=True)
class Opened:
    info: ModelInfo


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The model cannot be used; the engine process ends. Where that is not `is_final`, it goes on trying: `Opened` may follow."""

    message: str
    is_final: bool = True


@dataclass(frozen=True, slots=True)
class PrefillProgress:
    """`done` of the `total` tokens of the prompt of `job` are in its context, those that were reused included."""

    job: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class PrefillCost:
    """What a prompt cost. All but the times (milliseconds) are numbers of tokens; names as in the design.

    `restored` is the length of the checkpoint that was restored, or 0. `paged`: how many came from branches, that is from what
    contexts held before. `n_decodes` counts calls of the model.
    """

    prompt: int
    common: int
    restored: int
    processed: int
    needed: int
    reason: Reason
    prefill_ms: float = 0.0
    restore_ms: float = 0.0
    checkpoint_ms: float = 0.0
    n_decodes: int = 0
    paged: int = 0

    @property
    def excess(self) -> int:
        """Tokens processed beyond what exact reuse at any position would have processed."""
        return self.processed - self.needed


@dataclass(frozen=True, slots=True)
class PrefillDone:
    """The prompt of `job` is in its context, which `context` names.

    The worker alone chooses contexts, and this is how the daemon learns which one it was: the key that the `Run` named, or
    the one that `ContextStatus` has for a context chosen by content; "" for a cold run, after which nothing is kept.
    `goes_on`: the job was stopped before, and goes on with its text; the cost is that of going on.
    """

    job: int
    cost: PrefillCost
    context: str = ""
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """A token, its bytes, and the logarithm of its probability before any sampler (0 if that was not asked for)."""

    id: int
    data: bytes
    logprob: float = 0.0


@dataclass(frozen=True, slots=True)
class GeneratedToken:
    """A token that was generated, and the likeliest ones at its place, the likeliest first."""

    choice: TokenChoice
    top: tuple[TokenChoice, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """The next generated `text`, of `n_tokens` tokens.

    `logprob`: the logarithms of the probabilities of those of its tokens that are among the text's first `CONFIDENCE_TOKENS`,
    added up, if the confidence was asked for. If they were asked for: `margins`, best minus second-best logit for each token;
    and the `tokens` themselves.
    """

    job: int
    text: str
    n_tokens: int
    margins: tuple[float, ...] = ()
    tokens: tuple[GeneratedToken, ...] = ()
    logprob: float = 0.0


Vector = tuple[float, ...]
"""What an embedding model makes of a text; its length is 1."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vector of the tokens of `job`."""

    job: int
    vector: Vector


@dataclass(frozen=True, slots=True)
class DraftCounts:
    """Tokens that were drafted, to be decoded ahead of what was certain, and those of them that turned out to be right."""

    n_drafted: int = 0
    n_accepted: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """`job` is done. `cost` is there if the engine has learnt since `PrefillDone` what the prompt really cost."""

    job: int
    stop_reason: StopReason
    stop_word: str = ""
    n_generated: int = 0
    generate_ms: float = 0.0
    cost: PrefillCost | None = None
    drafts: DraftCounts = DraftCounts()


@dataclass(frozen=True, slots=True)
class Stopped:
    """`job` ended early because it was asked to.

    `done` of the `total` tokens of its prompt are in its context, those that were reused included. It is 0 if the job was stopped
    before a context was chosen for it. `n_read`: how many of them the model has read since it was run.
    """

    job: int
    done: int
    total: int
    n_read: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """`job` cannot be done; `fault` says whose mistake it was."""

    job: int
    message: str
    fault: Literal["request", "engine"] = "request"


ToEngine = Open | Run | Stop | AskStatus | Forget | Close
FromEngine = (
    LoadProgress | Opened | LoadFailed | PrefillProgress | PrefillDone | Piece | Embedded | Done | Stopped | Failed | Forgotten
    | EngineStatus
)  # fmt: skip
Message = ToEngine | FromEngine

CONFIDENCE_TOKENS = 4
"""Of a text's beginning, by whose probability it is judged: this tells right texts from wrong ones better than margins do."""
MAX_DECODE_TOKENS = 256
"""What an abort may undo; between checkpoints further apart, states to go back to would have to be saved as well."""
