"""What is counted of the memory that llama.cpp takes, on this machine's GPU if it has one."""

import ctypes
from collections.abc import Iterator

import llama_cpp as lib
import numpy as np
import pytest

from scrubjay.llama.backend import counted
from scrubjay.llama.context import FULL, LlamaContext
from scrubjay.llama.devices import Gpu, built_for, can_offload, describe, device, gpus
from scrubjay.llama.model import Model
from scrubjay.protocol.messages import EngineSettings
from tests.support.engine_rig import random_tokens
from tests.support.gguf_models import MODEL_CLASSES, tiny_model

N_CTX = 1024
MIB = 1 << 20
CUDA = Gpu("CUDA1", "It", 1000 * MIB, 400 * MIB, is_shared=False)


@pytest.fixture(params=[-1, 0], ids=["all layers on a GPU", "none"])
def gpu_layers(request: pytest.FixtureRequest) -> Iterator[int]:
    if request.param and not can_offload():
        pytest.skip("this llama.cpp has no GPU")
    yield request.param


def on_gpus(buffers: dict[str, int]) -> int:
    return sum(gpu.part_of(buffers) for gpu in gpus())


@pytest.mark.parametrize("kind", MODEL_CLASSES)
def test_a_contexts_memory_is_counted_where_it_is(kind: str, gpu_layers: int) -> None:
    """No less than what it holds when it is full, which is saved byte by byte, and not much more."""
    settings = EngineSettings(str(tiny_model(kind)), n_threads=1, gpu_layers=gpu_layers)
    with counted() as of_weights:
        model = Model(tiny_model(kind), settings, mapped=False)
    with counted() as of_context:
        llama = LlamaContext(model, settings, N_CTX, 64, True, 0)
    with counted() as of_nothing:
        tokens = random_tokens(np.random.default_rng(0), N_CTX)
        for start in range(0, N_CTX, 64):
            llama.decode(tokens[start : start + 64], start, want_logits=False, abortable=False)
    held = llama.state_size(FULL)
    llama.close()
    with counted() as of_another:
        other = LlamaContext(model, settings, 4 * N_CTX, 64, True, 0)
    other.close()
    model.close()
    here = on_gpus(of_context) if gpu_layers else of_context["CPU"]
    rounding = 0.01 * MIB * 4
    assert here >= held - rounding
    assert not of_nothing
    more = sum(of_another.values()) - sum(of_context.values())
    if model.is_recurrent:
        assert abs(more) <= rounding, "its memory does not grow with the context"
    else:
        # What takes no part in a state: the mask, and scores of attention.
        assert more >= 3 * held * 0.8 - rounding
    if gpu_layers:
        assert on_gpus(of_weights) >= 0.5 * model.size
        assert device(-1) in built_for().lower()
    else:
        assert not on_gpus(of_weights), "whoever wants no layers there wants a CPU"
        assert not on_gpus(of_context)


def test_without_layers_on_it_there_is_no_gpu() -> None:
    assert device(0) == "cpu"
    assert (device(-1) != "cpu") is can_offload() is bool(describe()["gpus"])


def test_a_gpu_has_the_buffers_that_are_named_as_it_is() -> None:
    assert CUDA.kind == "cuda"
    assert CUDA.part_of({"CUDA1": 3, "CUDA1_Private": 4, "CUDA10": 5, "CUDA_Host": 6, "CPU": 7}) == 7
    assert Gpu("MTL0", "It", 1, 1, is_shared=True).kind == "metal"


def test_where_a_driver_does_not_say_what_is_used_what_we_took_is() -> None:
    assert CUDA.room(300 * MIB) == 400 * MIB
    assert Gpu("Vulkan0", "It", 1000 * MIB, 1000 * MIB, is_shared=False).room(300 * MIB) == 700 * MIB


@lib.llama_log_callback  # type: ignore[untyped-decorator]
def _taken(_level: int, _text: bytes, _user_data: object) -> None:
    """Somebody else's log."""


def test_memory_is_counted_though_somebody_has_taken_the_log() -> None:
    lib.llama_log_set(_taken, ctypes.c_void_p(0))
    with counted() as of_weights:
        Model(tiny_model("dense"), EngineSettings(str(tiny_model("dense"))), mapped=False).close()
    assert sum(of_weights.values()) > 0
