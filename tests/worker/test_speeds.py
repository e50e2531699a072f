"""Speeds are measured once, and known at the next start of the same model on the same machine."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scrubjay.protocol.messages import EngineSettings, Sampling
from scrubjay.worker.lengths import PROBED
from scrubjay.worker.load import LoadedModel, open_model
from scrubjay.worker.loop import Worker
from scrubjay.worker.speeds import MAX_AGE_IN_PART_S, MAX_AGE_S, MAX_KEPT, NAME, KnownSpeeds, Speeds
from tests.support.engine_rig import AbortFlag
from tests.support.faulty_files import FaultyFiles
from tests.support.gguf_models import tiny_model
from tests.support.lives import Lives, text

SPEEDS = Speeds({64: 10.0, 128: 20.5}, 3.25, {1: (0.25, b"1"), 8: (0.5, b"8")})
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["k", "prefill", "generation", "lengths", "at", "64"]), inner, max_size=4)
    ),
)


def load(folder: Path, **more: object) -> LoadedModel:
    plain = EngineSettings(str(tiny_model("shortconv")), n_ctx=1024, n_threads=1, store=str(folder))
    return open_model(replace(plain, **more), 0, lambda *_: None)  # type: ignore[arg-type]


def test_what_was_written_is_known_to_the_same_key_only(tmp_path: Path) -> None:
    KnownSpeeds(tmp_path / "records", "k").write(SPEEDS)
    assert KnownSpeeds(tmp_path / "records", "k").read() == SPEEDS
    assert KnownSpeeds(tmp_path / "records", "other").read() is None
    assert KnownSpeeds(None, "k").read() is None
    KnownSpeeds(None, "k").write(SPEEDS)
    assert [path.name for path in (tmp_path / "records").iterdir()] == [NAME]
    assert (tmp_path / "records" / NAME).stat().st_mode & 0o777 == 0o600


def test_few_are_kept_and_old_ones_are_measured_again(tmp_path: Path) -> None:
    for number in range(MAX_KEPT + 2):
        KnownSpeeds(tmp_path, str(number)).write(SPEEDS)
    known = [number for number in range(MAX_KEPT + 2) if KnownSpeeds(tmp_path, str(number)).read()]
    assert known == list(range(2, MAX_KEPT + 2))
    read = json.loads((tmp_path / NAME).read_text())
    read["5"]["at"] -= MAX_AGE_S + 1
    read["6"]["at"] -= MAX_AGE_IN_PART_S + 1
    read["7"]["at"] -= MAX_AGE_IN_PART_S + 1
    read["7"]["lengths"] = {str(n): [1.0, ""] for n in PROBED}
    (tmp_path / NAME).write_text(json.dumps(read))
    assert KnownSpeeds(tmp_path, "5").read() is None
    assert KnownSpeeds(tmp_path, "6").read() is None, "there may have been no time for the other lengths"
    assert KnownSpeeds(tmp_path, "7").read() == replace(SPEEDS, lengths=dict.fromkeys(PROBED, (1.0, b"")))
    assert KnownSpeeds(tmp_path, "8").read() == SPEEDS


@given(st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_of_anything_disturbs_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    known = KnownSpeeds(tmp_path, "k").read()
    assert known is None or min(known.generation, *known.prefill.values()) > 0
    KnownSpeeds(tmp_path, "k").write(SPEEDS)
    assert KnownSpeeds(tmp_path, "k").read() == SPEEDS


@pytest.mark.parametrize("failing", ["make_folder", "create", "write", "publish", "read", "remove"])
def test_a_disk_that_fails_costs_a_measurement(failing: str, tmp_path: Path) -> None:
    files = FaultyFiles()
    files.fails = lambda name: errno.EIO if name == failing else 0
    KnownSpeeds(tmp_path, "k", files).write(SPEEDS)
    assert KnownSpeeds(tmp_path, "k", files).read() in (None, SPEEDS)


def test_a_second_start_measures_nothing_and_chooses_the_same(tmp_path: Path) -> None:
    first, second = load(tmp_path), load(tmp_path)
    assert (first.info.cold_ratio > 0, second.info.cold_ratio) == (True, 0.0)
    assert (second.info.prefill_speed, second.info.generation_speed, second.info.interval) == (
        first.info.prefill_speed,
        first.info.generation_speed,
        first.info.interval,
    )
    assert second.drafts.drafting(Sampling()).lengths == first.drafts.drafting(Sampling()).lengths
    assert second.llama.last_position() == -1
    assert load(tmp_path, n_ctx=64).info.cold_ratio > 0
    lazy = load(tmp_path, eager_load=False).info
    assert (lazy.prefill_speed, lazy.state_size) == (0, first.info.state_size)
    assert second.info.state_size == first.info.state_size > 0


def test_where_there_is_something_to_go_back_to_buffers_are_made_ready_when_idle(tmp_path: Path) -> None:
    lives = Lives("deltanet", tmp_path / "records", eager_load=True)
    ready = lives.worker.checkpoints.allocated
    assert ready > 100_000
    lives.run(text(0, 600))
    lives.begin_again()
    again = Worker(lives.loaded, AbortFlag())  # type: ignore[arg-type]
    assert again.checkpoints.allocated == 0
    while again.rest(0.0) == 0.0:
        pass
    assert again.checkpoints.allocated == ready
