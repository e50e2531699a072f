"""The folder of records: what is in it, within which budgets, and what becomes of files that are of no use."""

import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scrubjay.context_keys import group_of, is_inside, part_of
from scrubjay.store.files import Bytes, FileFacts, Files, view_of
from scrubjay.store.record_file import (
    MAX_TOKENS,
    Draft,
    Origin,
    Record,
    RecordRefused,
    Section,
    head_of,
    parse_head,
    size_of_head,
)
from scrubjay.store.record_index import Filed, Found, RecordIndex
from scrubjay.tokens import Tokens

logger = logging.getLogger(__name__)

SUFFIX, UNFINISHED = ".record", ".unfinished"
MAX_RECORDS = 4096
"""Their heads are read at each start."""
HEAD_BYTES = 8192
"""Read at once: most heads are shorter."""
SLICE_BYTES = 2 << 20
"""Written at once, in about a millisecond."""
RETRY_NS = 60 * 10**9
"""So long nothing is written after a failure."""
SETTLE_S = 5.0
"""How long a disk may take at most for what must be there before more is written."""
FORGET_S = 1.0
"""How long what is being written may take before it is forgotten, too."""
DAY_NS = 86400 * 10**9
DAY_FILE = "written-today.json"


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """Bytes that all records may take, and that may be written on one day."""

    size: int
    daily: int


@dataclass(slots=True)
class Wiped:
    """What was removed: how many records, of how many bytes, and of which keys."""

    n_records: int = 0
    n_bytes: int = 0
    keys: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Day:
    """Bytes written on a day, counted from 1970; any other day, before or after, begins with 0."""

    number: int = 0
    n_bytes: int = 0


class RecordStore:
    """The records in one folder. Two daemons may share it: names say what is inside, and files appear whole.

    No method raises OSError: what cannot be read is not there, what cannot be written is not kept, and `error` says why.

    Args:
        origin: what the records of this process are made with; records of another origin are of no use to it.
        now_ns: the time since 1970.
    """

    def __init__(
        self, folder: Path, origin: Origin, limits: StoreLimits, now_ns: Callable[[], int], files: Files | None = None
    ) -> None:
        self.limits = limits
        self.error = ""
        """The last failure, one sentence; "" once something was written again."""
        self._folder = folder
        self._origin = origin
        self._now_ns = now_ns
        self._files = files or Files()
        self._index = RecordIndex()
        self._day = _Day()
        self._retry_ns = 0
        self._written: set[str] = set()
        self._unsettled: list[tuple[Future[None], Path, Filed]] = []
        # Waiting for a disk may take long: a thread does it, and nothing else.
        self._finisher = ThreadPoolExecutor(1, "records")

    # --- what there is -------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Look through the folder; collect what nobody can use."""
        self._day = self._read_day()
        refused: dict[str, int] = {}
        for facts in self._listed():
            if facts.path.suffix == UNFINISHED:
                self._remove_if_abandoned(facts.path)
            elif facts.path.suffix == SUFFIX and (why := self._take_in(facts)):
                refused[why] = refused.get(why, 0) + 1
                self._remove(facts.path)
        if refused:
            reasons = "; ".join(f"{n}: {why}" for why, n in refused.items())
            logger.warning(
                "%d records in %s were of no use and are removed. %s", sum(refused.values()), self._folder, reasons
            )
        self._collect()

    def __len__(self) -> int:
        return len(self._index)

    @property
    def n_bytes(self) -> int:
        """Of all records, those of other models included."""
        return self._index.n_bytes

    @property
    def n_bytes_today(self) -> int:
        return self._day.n_bytes if self._day.number == self._today() else 0

    def find(self, tokens: Tokens, group: str = "", longest: int = MAX_TOKENS) -> Found:
        """See `RecordIndex.find`."""
        return self._index.find(tokens, longest, group)

    def recent_tokens(self) -> tuple[Tokens, str]:
        """See `RecordIndex.recent_tokens`."""
        return self._index.recent_tokens()

    def read(self, filed: Filed, section: Section, buffer: npt.NDArray[np.uint8]) -> bool:
        """Read a section of a record into `buffer`, which it fills. False if it is not as it was written: then it is removed."""
        try:
            done = self._files.read_into(filed.path, section.offset, buffer) and section.is_right(buffer)
        except OSError as error:
            done = False
            self._fail("read", error)
        if not done:
            logger.warning("The record %s is damaged or gone; it is removed.", filed.path.name)
            self._remove(filed.path)
        return done

    def touch(self, used: list[Filed]) -> None:
        """These were used now, one after the other."""
        now = self._now_ns()
        for filed in used:
            filed.used_ns = now
            with suppress(OSError):
                self._files.touch(filed.path, now)

    # --- writing -------------------------------------------------------------------------------------------------------

    def may_write(self) -> bool:
        """Whether writing was not in vain just now, and today's limit leaves something."""
        # A clock that was set back must not keep it from writing for ever.
        waits = 0 < self._retry_ns - self._now_ns() <= RETRY_NS
        if not waits and self.n_bytes_today >= self.limits.daily:
            self._note(f"No more records are written today: the limit of {self.limits.daily >> 20} MiB is reached.")
            return False
        return not waits

    def was_written(self, draft: Draft) -> bool:
        """Whether this process has written it before."""
        return draft.name(self._origin) in self._written

    def write(self, draft: Draft) -> Generator[None, None, None]:
        """Write a record, a slice for each step of the iterator; after `settle` it is there.

        Closing the iterator before gives it up. What `draft` refers to must not change meanwhile. What was written before is not
        written again, though it may have had to make room: a folder that is too small must not wear out a disk.
        """
        name, size = draft.name(self._origin), sum(view_of(part).nbytes for part in draft.parts)
        path, temporary = self._folder / (name + SUFFIX), self._unfinished(name)
        if name in self._written:
            return
        if not self._has_room(size, draft):
            self._written.add(name)  # it will not have room later either, and is not to be asked for again
            return
        fd = -1
        try:
            self._files.make_folder(self._folder)
            fd = self._files.create(temporary)
            head = head_of(draft, self._origin)
            yield
            for part in (head, *draft.parts):
                for piece in _slices(part):
                    self._files.write(fd, piece)
                    self._count(len(piece))
                    yield
            filed = Filed(path, parse_head(head, len(head) + size), self._now_ns())
            if filed.record.size + sum(one.record.size for one in self._coming()) > self.limits.size:
                self.settle(SETTLE_S)
            # Before it appears: so the folder never has more than its limit.
            self._collect(filed)
            self._unsettled.append((self._finisher.submit(self._files.publish, fd, temporary, path), temporary, filed))
            self._written.add(name)
            fd = -1
        except OSError as error:
            self._fail("written", error)
        finally:
            if fd >= 0:
                with suppress(OSError):
                    os.close(fd)
                self._remove_quietly(temporary)

    def _coming(self) -> Iterator[Filed]:
        """What is on its way to the disk."""
        return (filed for _, _, filed in self._unsettled)

    def settle(self, seconds: float = 0.0) -> bool:
        """Enter into the books what is on the disk by now, or will be within `seconds`; whether that is all."""
        waiting = [future for future, _, _ in self._unsettled]
        unfinished = wait(waiting, seconds).not_done if waiting else set()
        settled = [item for item in self._unsettled if item[0] not in unfinished]
        self._unsettled = [item for item in self._unsettled if item[0] in unfinished]
        for future, temporary, filed in settled:
            if (error := future.exception()) is not None:
                self._fail("written", error)
                self._written.discard(filed.path.stem)
                self._remove_quietly(temporary)
            else:
                self.error = ""
                self._index.add(filed)
        if settled:
            self._collect()
            self._write_day()
        return not unfinished

    def forget(self, root: str = "") -> Wiped:
        """Remove the records of `root` and of what is inside, or all of them."""
        self.settle(FORGET_S)
        self._written.clear()
        wiped = Wiped()
        for facts in list(self._listed()):
            if facts.path.suffix not in (SUFFIX, UNFINISHED):
                continue
            key = self._key_of(facts) if facts.path.suffix == SUFFIX else None
            if root and not (key is not None and is_inside(key, root)):
                continue
            self._remove(facts.path)
            wiped.n_records += facts.path.suffix == SUFFIX
            wiped.n_bytes += facts.size
            wiped.keys |= {key} if key else set()
        return wiped

    # --- the folder ----------------------------------------------------------------------------------------------------

    def _listed(self) -> list[FileFacts]:
        try:
            return list(self._files.list(self._folder))
        except OSError as error:
            self._fail("read", error)
            return []

    def _head(self, facts: FileFacts) -> Record:
        """Raises RecordRefused or OSError."""
        head = self._files.read(facts.path, 0, HEAD_BYTES)
        if (size := size_of_head(head)) > len(head):
            head = self._files.read(facts.path, 0, size)
        return parse_head(head[:size], facts.size)

    def _key_of(self, facts: FileFacts) -> str | None:
        try:
            return self._head(facts).key
        except (OSError, RecordRefused):
            return None

    def _take_in(self, facts: FileFacts) -> str:
        """Enter the record in a file into the books; returns why it is to be removed, if it is."""
        try:
            record = self._head(facts)
        except RecordRefused as refusal:
            return str(refusal)
        except OSError as error:
            self._fail("read", error)
            return ""
        if record.origin == self._origin:
            self._index.add(Filed(facts.path, record, facts.used_ns))
            return ""
        if record.origin.get("model") == self._origin.get("model") and _is_outdated(record.origin, self._origin):
            return "The model's file or llama.cpp has changed."
        # Of another model, or made with other options: they may come back. Until then it grows old.
        self._index.others[facts.path] = facts
        return ""

    def _collect(self, *coming: Filed) -> None:
        """Remove what was not used for longest until the budget holds; of several groups, what is more than their parts first.

        There is room for `coming` then, too, and for all that is on its way to the disk.
        """
        known = {filed.path for filed in self._index}
        coming = tuple(each for each in (*coming, *self._coming()) if each.path not in known)
        n_bytes = self.n_bytes + sum(filed.record.size for filed in coming)
        if n_bytes <= self.limits.size and len(self._index) + len(self._index.others) <= MAX_RECORDS:
            return
        # Of equally old records the last goes first: it is of no use without those before it.
        own = [
            (filed.used_ns, -filed.record.end, filed.record.size, filed.path, group_of(filed.record.key))
            for filed in self._index
        ]
        others = [(facts.used_ns, 0, facts.size, facts.path, "") for facts in self._index.others.values()]
        held = Counter[str]()
        for filed in (*self._index, *coming):
            held[group_of(filed.record.key)] += filed.record.size
        files, parted = sorted([*own, *others]), len(held) > 1
        for spares in (True, False) if parted else (False,):
            left, files = files, []
            for at, (_, _, size, path, group) in enumerate(left):
                if n_bytes <= self.limits.size and len(left) - at + len(files) <= MAX_RECORDS:
                    return
                is_own = path not in self._index.others
                if spares and is_own and held[group] <= part_of(group, held, self.limits.size):
                    files.append(left[at])
                    continue
                self._remove(path)
                n_bytes -= size
                held[group] -= size if is_own else 0

    def _remove(self, path: Path) -> None:
        self._index.remove(path)
        self._index.others.pop(path, None)
        self._remove_quietly(path)

    def _remove_quietly(self, path: Path) -> None:
        try:
            self._files.remove(path)
        except OSError as error:
            self._fail("removed", error)

    def _remove_if_abandoned(self, path: Path) -> None:
        with suppress(OSError):
            if self._files.is_abandoned(path):
                self._files.remove(path)

    # --- what was written ----------------------------------------------------------------------------------------------

    def _unfinished(self, name: str) -> Path:
        return self._folder / f"{name}.{os.urandom(8).hex()}{UNFINISHED}"

    def _has_room(self, size: int, draft: Draft) -> bool:
        """Whether `size` bytes fit without removing what the draft continues."""
        kept = sum(filed.record.size for filed, _ in self.find(draft.tokens, group_of(draft.key)).way)
        return kept + size <= self.limits.size

    def _today(self) -> int:
        return self._now_ns() // DAY_NS

    def _count(self, n_bytes: int) -> None:
        self._day = _Day(self._today(), self.n_bytes_today + n_bytes)

    def _read_day(self) -> _Day:
        with suppress(OSError, ValueError, TypeError, KeyError):
            read = json.loads(self._files.read(self._folder / DAY_FILE, 0, HEAD_BYTES))
            return _Day(int(read["day"]), int(read["bytes"]))
        return _Day()

    def _write_day(self) -> None:
        """Losing this costs only that a day's limit is counted from its last restart."""
        temporary = self._unfinished(DAY_FILE)
        text = json.dumps({"day": self._day.number, "bytes": self._day.n_bytes}).encode()
        try:
            fd = self._files.create(temporary)
            self._files.write(fd, text)
            self._files.publish(fd, temporary, self._folder / DAY_FILE)
        except OSError:
            self._remove_quietly(temporary)

    def _fail(self, what: str, error: BaseException) -> None:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
        self._note(f"Records in {self._folder} cannot be {what}: {reason}.")
        if what == "written":
            self._retry_ns = self._now_ns() + RETRY_NS

    def _note(self, sentence: str) -> None:
        if sentence != self.error:
            logger.warning("%s", sentence)
        self.error = sentence


def _is_outdated(old: Origin, new: Origin) -> bool:
    """Whether nothing will be made with `old` again, unless somebody brings back an old file or program."""
    return any(old.get(name) != new.get(name) for name in ("file", "library"))


def _slices(data: Bytes) -> Iterator[memoryview]:
    view = view_of(data)
    for begin in range(0, len(view), SLICE_BYTES):
        yield view[begin : begin + SLICE_BYTES]
