"""What `scrubjay status` makes of the daemon's report."""

from pathlib import Path
from typing import Any

import pytest

from scrubjay import __version__
from scrubjay.cli.status import found_gpu, missing_gpu, status_lines

CPU = {"device": "cpu", "can_offload": False}


def report(style: str = "fim", **model: Any) -> dict[str, Any]:
    facts = {
        "name": "It",
        "architecture": "qwen2",
        "memory_class": "dense",
        "path": "/it.gguf",
        "quantization": "Q4_K_M",
        "size": 1 << 30,
        "n_ctx": 4096,
        "n_threads": 2,
        "prefill_speed": 100.0,
        "generation_speed": 10.0,
        "state_size": 0,
        "interval": 64,
        **CPU,
        **model,
    }
    return {
        "version": __version__,
        "pid": 1,
        "uptime_s": 2.0,
        "state": "ready",
        "message": "",
        "model": facts,
        "fim": {"order": "psm" if style == "fim" else "plain", "style": style},
        "rss": {"daemon": 1 << 20, "engine": 2 << 20},
        "checkpoints": {"count": 0, "bytes": 0, "budget": 1 << 20},
        "projects": [],
        "counters": {"n_accepted": 0},
        "queue": {"queued": 0, "running": None},
        "config": {"socket": "/s", "http": ["http://127.0.0.1:8012"], "log": "/log", "file": None},
        "last_error": {"time": "2026-01-01T00:00:00+00:00", "level": "warning", "message": "It was full."},
    }


def test_everything_that_one_needs_is_shown() -> None:
    text = "\n".join(status_lines(report()))
    for words in (
        "Q4_K_M, 1024 MiB",
        "tokens for filling in the middle (psm)",
        "cpu, 2 threads",
        "daemon 1 MiB, engine 2 MiB",
        "needs no checkpoints",
        "/s",
        "http://127.0.0.1:8012",
        "/log",
        "scrubjay config",
        "It was full.",
    ):
        assert words in text, words


@pytest.mark.parametrize(("style", "words"), [("chat", "chat template"), ("plain", "never sees what is after")])
def test_a_model_that_does_not_fill_in_is_named_as_such(style: str, words: str) -> None:
    assert words in "\n".join(status_lines(report(style)))


def test_keys_have_their_figures() -> None:
    key = {"name": "anna", "n_requests": 12, "prompt": 3000, "saved": 2900, "generated": 140, "n_in_flight": 1}
    says = "anna: 12 requests, 1 in flight; 2,900 of 3,000 prompt tokens saved, 140 written"
    assert says in "\n".join(status_lines(report() | {"keys": [key]}))


def test_a_daemon_of_another_version_is_named() -> None:
    assert "scrubjay restart" in "\n".join(status_lines(report() | {"version": "0.0.1"}))


@pytest.mark.parametrize(("gpu", "words"), [("NVIDIA", "-DGGML_CUDA=on"), ("AMD", "-DGGML_HIP=on")])
def test_a_gpu_that_is_not_used_for_want_of_a_build(gpu: str, words: str) -> None:
    assert words in missing_gpu(CPU, gpu)
    assert missing_gpu(CPU, "") == ""
    assert missing_gpu({"device": "cuda", "can_offload": True}, gpu) == ""
    assert missing_gpu({"device": "cpu", "can_offload": True}, gpu) == "", "it was built for it, and told not to"


def test_a_build_for_a_gpu_that_is_not_found_is_no_build_for_cpus() -> None:
    says = missing_gpu(CPU | {"built_for": "Vulkan"}, "NVIDIA")
    assert "built for Vulkan, which finds no GPU" in says
    assert "CUDA" not in says
    assert missing_gpu({"device": "vulkan", "can_offload": True, "built_for": "Vulkan"}, "NVIDIA") == ""
    assert missing_gpu({"device": "cpu", "can_offload": True, "built_for": "Vulkan"}, "NVIDIA") == "", "told not to"


def test_a_gpu_is_named_and_what_is_in_its_memory() -> None:
    gpu = report(device="vulkan", gpu="It 4090", can_offload=True, built_for="Vulkan") | {"on_gpus": 3 << 30}
    text = "\n".join(status_lines(gpu))
    assert "Device     vulkan (It 4090), 2 threads" in text
    assert "engine 2 MiB, on GPUs 3072 MiB" in text
    assert "GPUs" not in "\n".join(status_lines(report() | {"on_gpus": 0}))


def test_how_a_gpu_is_found(tmp_path: Path) -> None:
    assert found_gpu(tmp_path) == ""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kfd").touch()
    assert found_gpu(tmp_path) == "AMD"
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").touch()
    assert found_gpu(tmp_path) == "NVIDIA"


def test_a_remote_model_has_no_memory_or_speed_here() -> None:
    remote = report(architecture="llama.cpp", memory_class="remote", device="http://box:8080", path="/v.gguf")
    text = "\n".join(status_lines(remote | {"rss": {"daemon": 1 << 20, "engine": 0}}))
    for words in ("It, run by llama.cpp at http://box:8080", "4096 tokens", "/v.gguf", "(psm)", "daemon 1 MiB"):
        assert words in text
    for words in ("checkpoints", "thread", "tokens/s", "engine"):
        assert words not in text
