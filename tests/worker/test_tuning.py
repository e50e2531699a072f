"""How many contexts there is room for."""

from types import SimpleNamespace

import psutil
import pytest

from scrubjay.llama.devices import Gpu
from scrubjay.worker.tuning import MAX_CONTEXTS, choose_max_contexts

GIB = 1 << 30
WEIGHTS = {"Vulkan0": 4 * GIB, "CPU": GIB}
CONTEXT = {"Vulkan0": GIB, "Vulkan_Host": GIB // 4}


def gpu(free: int, total: int = 24, is_shared: bool = False) -> Gpu:
    return Gpu("Vulkan0", "It", total * GIB, free * GIB, is_shared)


def contexts(free: int, *gpus: Gpu, grown_by: int = GIB) -> int:
    """Where the machine has `free` GiB."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free * GIB))
        return choose_max_contexts(grown_by, gpus, WEIGHTS, CONTEXT)


@pytest.mark.parametrize(("free", "n"), [(1, 1), (7, 3), (64, MAX_CONTEXTS)])
def test_on_a_cpu_what_the_process_has_grown_by_counts(free: int, n: int) -> None:
    assert contexts(free) == n


@pytest.mark.parametrize(
    ("n_free", "n"), [(0, 1), (3, 2), (5, 3), (20, MAX_CONTEXTS)], ids=["full", "3 GiB", "5 GiB", "empty"]
)
def test_on_a_gpu_its_memory_counts(n_free: int, n: int) -> None:
    assert contexts(64, gpu(n_free), grown_by=1) == n


def test_where_the_driver_tells_nothing_weights_and_the_first_context_are_known_to_be_there() -> None:
    assert contexts(64, gpu(24, 24)) == MAX_CONTEXTS
    assert contexts(64, gpu(8, 8)) == 1 + (8 - 4 - 1) // 2


def test_what_contexts_have_beside_the_gpu_counts_as_well() -> None:
    assert contexts(1, gpu(20), grown_by=0) == 2
    assert contexts(1, gpu(20), grown_by=8 * GIB) == 2, "a driver grows the process by anything"


def test_a_gpu_that_shares_the_machines_memory_takes_it_from_it() -> None:
    assert contexts(5, gpu(20, is_shared=True)) == 2


def test_the_fullest_of_several_gpus_decides() -> None:
    two = (gpu(20), Gpu("Vulkan1", "It", 24 * GIB, 2 * GIB, is_shared=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=64 * GIB))
        assert choose_max_contexts(0, two, WEIGHTS, {**CONTEXT, "Vulkan1": GIB // 2}) == 3


def test_a_gpu_without_a_part_of_the_context_does_not_matter() -> None:
    assert contexts(64, gpu(20), Gpu("Vulkan1", "It", GIB, 0, is_shared=False)) == MAX_CONTEXTS
