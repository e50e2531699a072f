"""The folder: budgets, collection, and every way in which disks and other programs disappoint."""

import errno
import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scrubjay.context_keys import unnamed_key
from scrubjay.store.record_file import Draft, Origin
from scrubjay.store.record_store import DAY_NS, RETRY_NS, RecordStore, StoreLimits
from scrubjay.tokens import Tokens, as_tokens
from tests.support.faulty_files import FaultyFiles, Killed

MIB = 1 << 20
ORIGIN: Origin = {"model": "/m.gguf", "file": "1", "library": "1", "kv_type": "f16"}
PART = 100


class Clock:
    """A clock that a test sets; files have the times of the real one."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return time.time_ns() + self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Iterator["Maker"]:
    yield Maker(tmp_path / "records", clock)


class Maker:
    """Stores on one folder, as of one daemon after the other, or of two."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self.clock = clock

    def __call__(
        self, size: int = 64 * MIB, daily: int = 64 * MIB, origin: Origin = ORIGIN, files: FaultyFiles | None = None
    ) -> RecordStore:
        store = RecordStore(self.folder, origin, StoreLimits(size, daily), self.clock, files)
        store.open()
        return store

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.record"))


def tokens(seed: int, n: int = 4 * PART) -> Tokens:
    return as_tokens(np.random.default_rng(seed).integers(0, 1000, n))


def content(text: Tokens, end: int, size: int = 5000) -> np.ndarray:
    """What a model might have made of the first `end` of `text`."""
    return np.random.default_rng([int(text[end - 1]), end]).integers(0, 256, size).astype(np.uint8)


def draft(text: Tokens, begin: int, end: int, key: str = "/p", size: int = 5000) -> Draft:
    memory, state = content(text, end, size), content(text, end, 700)
    return Draft(key, text[:end], begin, memory, [(end, state)])


def write(store: RecordStore, *drafts: Draft) -> None:
    for each in drafts:
        for _ in store.write(each):
            pass
    assert store.settle(30)


def parts(text: Tokens, key: str = "/p", size: int = 5000) -> list[Draft]:
    return [draft(text, begin, begin + PART, key, size) for begin in range(0, len(text), PART)]


def require_right(store: RecordStore, text: Tokens) -> int:
    """How far the records go with `text`; what they have must be what was written."""
    end = 0
    for filed, reaches in store.find(text).way:
        record = filed.record
        assert record.memory
        for n, section in [(record.end, record.memory), *record.states.items()]:
            buffer = np.zeros(section.size, dtype=np.uint8)
            if not store.read(filed, section, buffer):
                return end
            assert np.array_equal(buffer, content(text, n, section.size))
        end = reaches
    return end


def test_what_was_written_is_there_for_the_next_daemon(make: Maker) -> None:
    text = tokens(0)
    first = make()
    write(first, *parts(text))
    assert require_right(first, text) == len(text)
    second = make()
    assert len(second) == 4
    assert require_right(second, text) == len(text)
    other = as_tokens(np.concatenate([text[:250], tokens(1, 100)]))
    assert [end for _, end in second.find(other).way] == [100, 200, 250]
    assert second.n_bytes == sum(path.stat().st_size for path in make.files())
    assert second.n_bytes_today >= second.n_bytes


def test_only_the_owner_can_read_it(make: Maker) -> None:
    make.folder.mkdir(mode=0o755)
    write(make(), *parts(tokens(0)))
    assert make.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in make.folder.iterdir()} == {0o600}


def test_the_budget_holds_and_what_was_not_used_for_longest_goes(make: Maker) -> None:
    old, new = tokens(0), tokens(1)
    store = make(size=42_000)
    write(store, *parts(old))
    store.touch([filed for filed, _ in store.find(old).way])
    write(store, *parts(new))
    assert store.n_bytes <= 42_000
    assert require_right(store, new) == 4 * PART
    # The last parts go first: the others are of use without them.
    assert require_right(store, old) == 2 * PART
    assert sum(path.stat().st_size for path in make.files()) == store.n_bytes


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=4, max_size=12))
def test_the_folder_never_has_more_than_its_budget(
    tmp_path_factory: pytest.TempPathFactory, clock: Clock, texts: list[tuple[int, bool]]
) -> None:
    """Not for a moment: room is made before a record appears, also while those before it are on their way."""
    make = Maker(tmp_path_factory.mktemp("store") / "records", clock)
    sizes: list[int] = []

    class Watched(FaultyFiles):
        def publish(self, fd: int, temporary: Path, path: Path) -> None:
            super().publish(fd, temporary, path)
            sizes.append(sum(facts.size for facts in self.list(make.folder) if facts.path.suffix == ".record"))

    store = make(size=30_000, files=Watched())
    for seed, waits in texts:
        for each in parts(tokens(seed), size=3000 + 1500 * seed):
            for _ in store.write(each):
                pass
        if waits:
            assert store.settle(30)
    assert store.settle(30)
    assert len(sizes) >= 4
    assert max(sizes) <= 30_000


def test_whoever_writes_much_leaves_others_their_part(make: Maker) -> None:
    """Of half of the folder, divided equally: what goes beyond that is whose was used last."""
    eve, anna, text = unnamed_key(1, "eve"), unnamed_key(2, "anna"), tokens(1, 8 * PART)
    store = make(size=60_000)
    write(store, *parts(text, anna))
    store.touch([filed for filed, _ in store.find(text, "anna").way])
    for seed in range(2, 6):
        last = tokens(seed, 6 * PART)
        write(store, *parts(last, eve))
        store.touch([filed for filed, _ in store.find(last, "eve").way])
        assert store.n_bytes <= 60_000
    assert store.find(text, "anna").n_tokens == 2 * PART, "about a quarter"
    assert store.find(last, "eve").n_tokens == 6 * PART
    # What is nobody's part goes by its age, and a third one makes the parts smaller.
    write(store, *parts(tokens(6)))
    assert require_right(store, tokens(6)) == 4 * PART
    assert store.find(text, "anna").n_tokens == PART
    assert store.find(last, "eve").n_tokens == 4 * PART


def test_what_does_not_fit_is_not_written_again_and_again(make: Maker) -> None:
    files = FaultyFiles()
    store = make(size=15_000, files=files)
    text, other = tokens(0), tokens(1)
    for _ in range(20):
        write(store, *parts(text), *parts(other))
    assert files.n_written < 60_000
    assert store.n_bytes <= 15_000


def test_the_limit_of_a_day_holds_over_restarts_and_days_end(make: Maker, clock: Clock) -> None:
    write(make(daily=15_000), *parts(tokens(0))[:2])
    store = make(daily=15_000)
    assert store.may_write()
    write(store, *parts(tokens(0))[2:])
    assert not store.may_write()
    assert "limit" in store.error
    for jump in (DAY_NS, -3 * DAY_NS):
        clock.ns += jump
        assert store.n_bytes_today == 0
        assert store.may_write()


@pytest.mark.parametrize("change", [{"file": "2"}, {"library": "2"}])
def test_records_of_an_older_file_or_library_are_removed(make: Maker, change: dict[str, str]) -> None:
    write(make(), *parts(tokens(0)))
    later = make(origin={**ORIGIN, **change})
    assert (len(later), make.files()) == (0, [])


@pytest.mark.parametrize("change", [{"kv_type": "q8_0"}, {"model": "/other.gguf", "file": "2"}])
def test_records_of_other_models_and_options_are_no_use_but_stay(make: Maker, change: dict[str, str]) -> None:
    text = tokens(0)
    write(make(), *parts(text))
    other = make(origin={**ORIGIN, **change}, size=40_000)
    assert (other.find(text).way, len(make.files())) == ([], 4)
    write(other, *parts(text))
    assert other.n_bytes <= 40_000
    assert require_right(other, text) == 4 * PART


def test_damaged_and_foreign_files_are_removed_and_nothing_else(make: Maker, caplog: pytest.LogCaptureFixture) -> None:
    write(make(), *parts(tokens(0)), *parts(tokens(1)))
    whole = make.files()[3].read_bytes()
    (make.folder / "short.record").write_bytes(whole[:30])
    (make.folder / "cut.record").write_bytes(whole[:-1])
    (make.folder / "empty.record").write_bytes(b"")
    (make.folder / "version.record").write_bytes(whole[:8] + b"\7" + whole[9:])
    (make.folder / "foreign.record").write_bytes(os.urandom(5000))
    (make.folder / "notes.txt").write_text("mine")
    (make.folder / "folder.record").mkdir()
    (make.folder / "link.record").symlink_to("/nowhere")
    store = make()
    assert len(store) == 8
    assert sorted(path.name for path in make.folder.iterdir() if len(path.name) < 30) == [
        "folder.record", "link.record", "notes.txt", "written-today.json",
    ]  # fmt: skip
    (line,) = [record.message for record in caplog.records]
    assert "5 records" in line


def test_bits_that_flip_on_the_disk_are_never_given_out(make: Maker) -> None:
    text, rng = tokens(0), np.random.default_rng(5)
    write(make(), *parts(text))
    originals = {path: path.read_bytes() for path in make.files()}
    for path, data in originals.items():
        for at in rng.integers(0, len(data), 60):
            damaged = bytearray(data)
            damaged[at] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            store = make()
            assert require_right(store, text) < 4 * PART
            assert not path.exists()
            path.write_bytes(data)


def test_a_record_that_vanishes_is_missed_and_forgotten(make: Maker) -> None:
    text = tokens(0)
    store = make()
    write(store, *parts(text))
    second = store.find(text).way[1][0]
    second.path.unlink()
    assert require_right(store, text) == PART
    assert [end for _, end in store.find(text).way] == [PART]
    assert len(store) == 3


def test_two_daemons_share_a_folder(make: Maker) -> None:
    one, two, text, other = make(), make(), tokens(0), tokens(1)
    writers = [iter(one.write(parts(text)[0])), iter(two.write(parts(text)[0])), iter(two.write(parts(other)[0]))]
    next(writers[0]), next(writers[1]), next(writers[2])
    third = make()  # must not take away what is being written
    for writer in writers:
        for _ in writer:
            pass
    assert one.settle(30)
    assert two.settle(30)
    assert (require_right(one, text), require_right(two, text), require_right(two, other)) == (PART, PART, PART)
    assert len(make.files()) == 2
    assert len(make()) == 2
    assert len(third) == 0
    assert one.forget().n_records == 2
    assert require_right(two, text) == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("what", ["make_folder", "create", "write", "publish"])
def test_a_disk_that_refuses_is_told_once_and_tried_again_later(
    make: Maker, clock: Clock, caplog: pytest.LogCaptureFixture, what: str, number: int
) -> None:
    files = FaultyFiles()
    store, text = make(files=files), tokens(0)
    write(store, parts(text)[0])
    files.fails = lambda name: number if name == what else 0
    for each in parts(text)[1:]:
        write(store, each)
    assert os.strerror(number) in store.error
    assert len([record for record in caplog.records if "written" in record.message]) == 1
    assert not store.may_write()
    assert require_right(store, text) == PART
    files.fails = lambda _: 0
    clock.ns += RETRY_NS
    assert store.may_write()
    write(store, *parts(tokens(2)))
    assert store.error == ""
    assert [path for path in make.folder.iterdir() if path.suffix == ".unfinished"] == []
    files.fails = lambda name: number if name == what else 0
    write(store, *parts(tokens(3)))
    assert not store.may_write()
    clock.ns -= 5 * RETRY_NS
    assert store.may_write(), "a clock that was set back must not stop it"


def test_a_folder_that_cannot_be_read_is_an_empty_one(make: Maker) -> None:
    write(make(), *parts(tokens(0)))
    for what in ("list", "read", "read_into"):
        files = FaultyFiles()
        files.fails = lambda name, what=what: errno.EIO if name == what else 0  # type: ignore[misc]
        store = make(files=files)
        assert require_right(store, tokens(0)) == 0
        assert os.strerror(errno.EIO) in store.error
    assert len(make()) >= 3


def test_a_record_that_is_given_up_leaves_nothing(make: Maker) -> None:
    store = make()
    writing = store.write(parts(tokens(0))[0])
    next(writing)
    assert len(list(make.folder.iterdir())) == 1
    writing.close()
    assert list(make.folder.iterdir()) == []
    assert store.error == ""


def test_forgetting_takes_what_is_of_a_root_and_says_so(make: Maker) -> None:
    store = make()
    for seed, key in enumerate(("/home/a", "/home/a/inner", "/home/ab", "#1")):
        write(store, *parts(tokens(seed), key))
    wiped = store.forget("/home/a")
    assert (wiped.n_records, wiped.keys) == (8, {"/home/a", "/home/a/inner"})
    assert wiped.n_bytes > 8 * 5700
    assert len(store) == len(make.files()) == 8
    assert make(origin={}).forget("").n_records == 8
    assert make.files() == []
    write(store, *parts(tokens(0)))
    assert len(make.files()) == 4, "what was forgotten may be kept again"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kill_at=st.integers(1, 40), seed=st.integers(0, 3))
def test_being_killed_at_any_moment_leaves_only_whole_records(
    tmp_path_factory: pytest.TempPathFactory, kill_at: int, seed: int
) -> None:
    """Each operation that changes something is the last one; a write is cut in its middle."""
    make = Maker(tmp_path_factory.mktemp("killed") / "records", Clock())
    text, other = tokens(seed), tokens(seed + 10)
    write(make(size=40_000), *parts(other)[:2])
    files = FaultyFiles()
    store = make(size=40_000, files=files)
    files.kill_at = files.n_changes + kill_at
    try:
        for each in parts(text):
            for _ in store.write(each):
                pass
            store.settle(30)
    except BaseException as error:
        assert isinstance(error, Killed), error
    files.die()
    files.close_all()
    after = make(size=40_000)
    assert require_right(after, text) % PART == 0
    assert require_right(after, other) == 2 * PART
    assert [path for path in make.folder.iterdir() if path.suffix == ".unfinished"] == []
    write(after, *parts(text))
    assert require_right(after, text) == 4 * PART


def test_heads_are_read_in_bounded_time(make: Maker) -> None:
    files = FaultyFiles()
    numbers = count()
    files.fails = lambda name: next(numbers) * 0 if name == "read" else 0
    write(make(), *parts(tokens(0)), *parts(tokens(1)))
    before = next(numbers)
    make(files=files)
    assert next(numbers) - before - 1 <= 8 + 1, "one read for each record, and one for the day's count"
