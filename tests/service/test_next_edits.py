"""Next edits over a real socket: positions in both encodings, two files, undo, versions, and what becomes of them."""

import pytest

from tests.support.api import Api, running_api
from tests.support.service import model

A, B = "file:///project/a.py", "file:///project/b.py"
TEXT = "f('🙂', alpha)\ng('🙂', alpha)\nh('🙂', alpha)\n"


@pytest.fixture
async def api(tmp_path):  # type: ignore[no-untyped-def]
    async with running_api(model(), tmp_path / "socket", ready=False) as (_, api):
        await api.open(A, TEXT)
        yield api


async def change(
    api: Api, uri: str, version: int, line: int, columns: tuple[int, int], text: str, encoding: str
) -> None:
    place = {"start": {"line": line, "character": columns[0]}, "end": {"line": line, "character": columns[1]}}
    changes = [{"range": place, "text": text}]
    body = {"uri": uri, "version": version, "changes": changes, "position_encoding": encoding}
    assert await api.post("/api/documents/change", body) == (200, {"version": version})


async def rename_twice(api: Api, encoding: str = "utf-16") -> int:
    """Replace the first two of the names; where the name begins in the third line."""
    at = {"utf-8": 10, "utf-16": 8, "utf-32": 7}[encoding]
    for line in (0, 1):
        await change(api, A, line + 2, line, (at, at + 5), "beta", encoding)
    return at


async def ask(api: Api, uri: str = A, **more: object) -> dict:  # type: ignore[type-arg]
    """The answer, once it is not held back because the user is typing."""
    while True:
        status, answer = await api.post("/api/next-edit", {"uri": uri, **more})
        assert status == 200, answer
        if answer["quiet"] != ["typing"]:
            return answer


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_a_next_edit_is_placed_as_the_client_counts(api: Api, encoding: str) -> None:
    at = await rename_twice(api, encoding)
    answer = await ask(api, position_encoding=encoding, version=3)
    edit = answer["edit"]
    assert edit["range"] == {"start": {"line": 2, "character": at}, "end": {"line": 2, "character": at + 5}}
    assert (edit["uri"], edit["version"], edit["old"], edit["text"]) == (A, 3, "alpha", "beta")
    await change(api, A, 4, 2, (at, at + 5), edit["text"], encoding)
    _, document = await api.get(f"/api/documents?uri={A}")
    assert document["text"] == TEXT.replace("alpha", "beta")
    assert (await ask(api))["edit"] is None


async def test_a_question_about_another_version_is_refused(api: Api) -> None:
    await rename_twice(api)
    status, answer = await api.post("/api/next-edit", {"uri": A, "version": 2})
    assert (status, answer["error"]["message"]) == (409, f"{A} is at version 3, not 2; send its changes first.")


async def test_the_next_place_may_be_in_another_file(api: Api) -> None:
    line = "logger.warning('cannot read %s', path)\n"
    await api.open(A, f"{line}\n\n\n{line}", version=5)
    await api.open(B, f"x = 1\n{line}", version=7)
    for version, number in ((6, 0), (7, 4)):
        await change(api, A, version, number, (16, 22), "could not", "utf-16")
    edit = (await ask(api))["edit"]
    assert (edit["uri"], edit["version"], edit["range"]["start"]) == (B, 7, {"line": 1, "character": 0})


async def test_what_was_undone_is_not_proposed_again(api: Api) -> None:
    at = await rename_twice(api)
    edit = (await ask(api))["edit"]
    assert await api.post("/api/next-edit/outcome", {"id": edit["id"], "outcome": "accepted"}) == (200, {})
    await change(api, A, 4, 2, (at, at + 5), "beta", "utf-16")
    await change(api, A, 5, 2, (at, at + 4), "alpha", "utf-16")
    assert (await ask(api))["edit"] is None


async def test_a_rejected_edit_is_not_proposed_again(api: Api) -> None:
    await rename_twice(api)
    edit = (await ask(api))["edit"]
    assert (await ask(api))["edit"] == edit
    for outcome in ("shown", "rejected"):
        assert await api.post("/api/next-edit/outcome", {"id": edit["id"], "outcome": outcome}) == (200, {})
    answer = await ask(api)
    assert (answer["edit"], answer["quiet"]) == (None, ["passed_over"])


async def test_what_is_wrong_is_said(api: Api) -> None:
    assert (await api.post("/api/next-edit", {"uri": B}))[0] == 404
    status, answer = await api.post("/api/next-edit/outcome", {"id": 1, "outcome": "liked"})
    assert (status, answer["error"]["message"]) == (400, "`outcome` must be one of shown, accepted, rejected.")
