"""What vLLM has cached of the prompts that typing and jumps send it, and of those that llama.vim would send.

    make test-vllm        (VLLM_VENV=FOLDER: the virtual environment that has vLLM; see the Makefile)

vLLM runs on the CPU, with random weights: a dense model, a hybrid as it is served by default, and one with the two flags
that docs/scaling.md names. A real function is typed key by key through a daemon's service, with jumps; then the windows of
llama.vim are sent for the same keys. Prints a table; fails if less than nine tenths of a dense model's tokens were cached, or a
key cost a hybrid with the flags more than one batch beyond what it had to.
"""

import asyncio
import inspect
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError

import numpy as np
from aiohttp.test_utils import unused_port

from scrubjay.completion.requests import Completion, RawRequest
from scrubjay.prompt.infill import InfillPrompt
from scrubjay.protocol.messages import EngineSettings, Sampling
from scrubjay.service.events import Generate
from scrubjay.service.service import Service
from scrubjay.service.settings import ServiceSettings
from scrubjay.workspace.events import OpenDocument
from tests.benchmarks.typing import FUNCTION, N_VOCAB, OTHERS, ROOT, URI, Typist, light_model, type_function
from tests.support.service import until_state

N_CTX = 8192
BATCH = 256
N_LINES = 9
CELL_S = 600
"""How long vLLM may take to be there."""
VENV = Path(os.environ.get("VLLM_VENV", Path.home() / ".cache" / "scrubjay-vllm" / "venv"))
ABOVE, BELOW = 256, 64
_COMMON = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": N_VOCAB,
    "max_position_embeddings": N_CTX,
    "rope_theta": 1e6,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "bos_token_id": 1,
    "eos_token_id": 2,
}
DENSE = _COMMON | {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "num_hidden_layers": 4,
    "rms_norm_eps": 1e-6,
}
HYBRID = _COMMON | {
    "architectures": ["Lfm2ForCausalLM"],
    "model_type": "lfm2",
    "num_hidden_layers": 6,
    "norm_eps": 1e-5,
    "pad_token_id": 0,
    "conv_L_cache": 3,
    "conv_dim": 256,
    "conv_dim_out": 256,
    "conv_bias": False,
    "block_dim": 256,
    "block_ff_dim": 512,
    "block_auto_adjust_ff_dim": False,
    "block_multiple_of": 256,
    "block_ffn_dim_multiplier": 1.0,
    "layer_types": ["conv", "conv", "full_attention"] * 2,
}
FLAGS = ("--prefix-cache-retention-interval", "128", "--max-num-batched-tokens", str(BATCH))


@dataclass(frozen=True, slots=True)
class Cell:
    """A model, and how it is served. `share`: how much of all prompts must be cached; `excess`: what a key may cost too much."""

    name: str
    config: Mapping[str, object]
    flags: tuple[str, ...] = ()
    share: float = 0.0
    excess: int | None = None


CELLS = (
    Cell("dense", DENSE, share=0.9),
    Cell("hybrid, default flags", HYBRID),
    Cell("hybrid, both flags", HYBRID, FLAGS, excess=BATCH),
)


@dataclass(slots=True)
class Vim(Typist):
    """The same typist, whose keys and jumps are sent as llama.vim does, after `chunks` of other files."""

    chunks: tuple[str, ...] = field(default=())

    async def ask(self) -> Completion:
        """The lines above and below the cursor, whatever they were at the key before."""
        start = self.text.rfind("\n", 0, self.cursor) + 1
        above = "".join(self.text[:start].splitlines(keepends=True)[-ABOVE:])
        below = "".join(self.text[self.cursor :].splitlines(keepends=True)[: BELOW + 1])
        recipe = InfillPrompt(above, below, self.text[start : self.cursor], (), anchor=False)
        event = Generate(RawRequest(recipe, sampling=Sampling(max_tokens=2)))
        self.service.post(event)
        return await event.reply

    async def pause(self) -> None:
        """It does not warm what is around the cursor."""


@contextmanager
def vllm(cell: Cell, folder: Path) -> Iterator[str]:
    """vLLM with the model of `cell`; its address, once it answers."""
    (folder / "config.json").write_text(json.dumps(cell.config))
    port = unused_port()
    command = [
        VENV / "bin" / "vllm",
        "serve",
        folder,
        "--port",
        port,
        "--host",
        "127.0.0.1",
        "--served-model-name",
        "tiny",
    ]
    options = ["--load-format", "dummy", "--skip-tokenizer-init", "--dtype", "bfloat16", "--max-model-len", N_CTX]
    caching = ["--enforce-eager", "--enable-prefix-caching", "--enable-prompt-tokens-details", *cell.flags]
    quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    cpu = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_TARGET_DEVICE": "cpu", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(part) for part in (*command, *options, *caching)],
            stdout=log,
            stderr=log,
            env={**os.environ, **quiet, **cpu, "OMP_NUM_THREADS": "2"},
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}/health", folder / "log")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    """Until it answers, or has ended."""
    for _ in range(CELL_S):
        try:
            process.wait(1)
            raise RuntimeError(f"vLLM has ended: {log.read_text(errors='replace')[-3000:]}")
        except subprocess.TimeoutExpired:
            pass
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            continue
    raise RuntimeError("vLLM does not answer")


async def typed(url: str, vocabulary: Path, kind: type[Typist]) -> Typist:
    """A typist that has typed the function on the server at `url`."""
    engine = EngineSettings(f"remote:{url}", tokenizer=str(vocabulary))
    service = Service(ServiceSettings(engine, warm=False, watch=False))
    service.start()
    try:
        await until_state(service, "ready")
        text = inspect.getsource(textwrap).replace(FUNCTION, "")
        typist = kind(service, text, text.index("\n\n\n", text.index("def shorten")) + 1)
        for uri, content in {**{f"file://{ROOT}/{name}": other for name, other in OTHERS.items()}, URI: text}.items():
            event = OpenDocument(uri, content, "python", 1, ROOT)
            service.post(event)
            await event.reply
        await typist.ask()
        await type_function(typist, N_LINES)
        return typist
    finally:
        await service.close()


def row(cell: Cell, client: str, typist: Typist) -> tuple[str, float, int]:
    """A line of the table, the share that was cached, and the largest excess of a key."""
    asked = [completion.reuse for completion in (*typist.keys, *typist.jumps)]
    n_prompt, n_processed = (sum(getattr(reuse, name) for reuse in asked) for name in ("prompt", "processed"))
    share, excess = 1 - n_processed / n_prompt, max(completion.reuse.excess for completion in typist.keys)
    costs = [completion.reuse.processed for completion in typist.keys]
    middle, high = (f"{np.percentile(costs, at):.0f}" for at in (50, 95))
    jumps = ", ".join(str(jump.reuse.processed) for jump in typist.jumps)
    numbers = (f"{n_prompt / len(asked):.0f}", f"{share:.1%}", middle, high, str(max(costs)), str(excess), jumps)
    return f"| {cell.name} | {client} | {' | '.join(numbers)} |", share, excess


def main() -> int:
    failed = []
    print(
        "| model | client | prompt | cached | key: median | 95 % | most | most excess | jumps |",
        "|---" * 9 + "|",
        sep="\n",
    )
    with light_model() as vocabulary:
        for cell in CELLS:
            with tempfile.TemporaryDirectory() as folder, vllm(cell, Path(folder)) as url:
                line, share, excess = row(cell, "Scrubjay", asyncio.run(typed(url, vocabulary, Typist)))
                print(line, flush=True)
                print(row(cell, "llama.vim", asyncio.run(typed(url, vocabulary, Vim)))[0], flush=True)
            if share < cell.share or (cell.excess is not None and excess > cell.excess):
                failed.append(cell.name)
    if failed:
        print(f"Missed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
