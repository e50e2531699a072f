"""Lets the projects know what happens: what clients open and edit, and what changes on disk beside it.

Called by the service's loop only.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from scrubjay.notifications import Notification
from scrubjay.workspace.context_rules import FILE_NAME, ContextRules
from scrubjay.workspace.diffs import NAME, SHARE, WORKING_NAME, is_commit_message, staged_diff
from scrubjay.workspace.document import Document
from scrubjay.workspace.events import (
    ChangeDocument,
    CloseDocument,
    CloseOwner,
    FilesChanged,
    FocusDocument,
    OpenDocument,
    SaveDocument,
    StagedFound,
    WorkspaceEvent,
    answer,
)
from scrubjay.workspace.file_tree import FileBudget, rules_at
from scrubjay.workspace.git import worktree_within
from scrubjay.workspace.project import Project, Tail
from scrubjay.workspace.projects import Projects
from scrubjay.workspace.roots import find_root, is_home_or_above
from scrubjay.workspace.watcher import Watcher

logger = logging.getLogger(__name__)


class Absorbed(NamedTuple):
    """What an event did: the projects in which something happened, and the roots of those that are known no more."""

    touched: tuple[Project, ...] = ()
    forgotten: tuple[str, ...] = ()


class Workspace:
    """Applies events to the projects.

    Args:
        post: takes what is found on disk.
        publish: takes what listeners should know.
        is_watching: whether to know of files that are not open, too.
        shows_secrets: whether these may be files that usually hold keys or passwords.
        shows_diff: whether to know, too, what the branch has changed.
    """

    def __init__(
        self,
        projects: Projects,
        post: Callable[[FilesChanged | StagedFound], None],
        publish: Callable[[Notification], None],
        is_watching: bool,
        shows_secrets: bool = False,
        shows_diff: bool = False,
    ) -> None:
        self.projects = projects
        self._publish = publish
        self._shows_secrets = shows_secrets
        self._shows_diff = shows_diff
        self._watcher = Watcher(post, shows_secrets=shows_secrets) if is_watching else None
        self._budget: FileBudget | None = None
        # Roots that were opened before it was known what the model can take in, in order; and those that clients named.
        self._waiting: dict[str, None] = {}
        self._named: set[str] = set()
        self._handlers: Mapping[type, Callable[[Any], Iterable[Project]]] = {
            OpenDocument: self._open,
            ChangeDocument: self._change,
            CloseDocument: self._close,
            SaveDocument: self._save,
            FocusDocument: self._focus,
            CloseOwner: self._close_owner,
            FilesChanged: self._update_files,
            StagedFound: self._show_staged,
        }

    def absorb(self, event: WorkspaceEvent) -> Absorbed:
        """Apply `event` to the projects, and set its reply.

        Raises:
            RequestError: it does not fit what is open; nothing has changed then.
        """
        touched = tuple(self._handlers[type(event)](event))
        forgotten = self.projects.forget_excess()
        for root in forgotten:
            self._named.discard(root)
            self._waiting.pop(root, None)
            if self._watcher:
                self._watcher.unwatch(root)
        return Absorbed(tuple(project for project in touched if project.root not in forgotten), forgotten)

    def model_is_ready(self, prefill_speed: float, n_ctx: int) -> None:
        """Start to look at files: the model can take in that many tokens per second, and `n_ctx` in all."""
        budget = FileBudget.for_model(prefill_speed, n_ctx)
        self._budget = replace(budget, n_diff=budget.n_bytes // SHARE) if self._shows_diff else budget
        for root in self._waiting:
            self._watch(root)
        self._waiting = {}

    async def close(self) -> None:
        """Watch nothing any more."""
        if self._watcher:
            await self._watcher.close()

    # --- what clients have open ---------------------------------------------------------------------------------------

    def _open(self, event: OpenDocument) -> list[Project]:
        document = self.projects.open(
            event.uri, event.language, event.version, event.text, event.root, self._find_root, event.owner
        )
        project = self.projects.project_of(event.uri, event.owner)
        if event.root is not None:
            self._named.add(project.root)
        self._read_rules(project)
        self._watch(project.root)
        self._note_open_documents(project)
        self._look_at_staged(project, document)
        answer(event.reply, document.version)
        return [project]

    def _change(self, event: ChangeDocument) -> list[Project]:
        document = self.projects.change(
            event.uri, event.version, event.changes, event.encoding, event.base_version, event.owner
        )
        answer(event.reply, document.version)
        return [self.projects.project_of(event.uri, event.owner)]

    def _close(self, event: CloseDocument) -> list[Project]:
        project = self.projects.project_of(event.uri, event.owner)
        self.projects.close(event.uri, event.owner)
        self._note_open_documents(project)
        answer(event.reply, None)
        return [project]

    def _save(self, event: SaveDocument) -> list[Project]:
        project = self.projects.saved(event.uri, event.owner)
        if event.uri.endswith(f"/{FILE_NAME}"):
            self._read_rules(project)
        # Its root may have gone and come again, as when a repository is cloned once more.
        self._watch(project.root)
        answer(event.reply, None)
        return [project]

    def _focus(self, event: FocusDocument) -> list[Project]:
        self.projects.focus(event.uri, event.position, event.encoding, event.owner)
        answer(event.reply, None)
        return [self.projects.project_of(event.uri, event.owner)]

    def _close_owner(self, event: CloseOwner) -> list[Project]:
        before = {project.root: project.n_open for project in self.projects}
        self.projects.close_owner(event.owner)
        changed = [project for project in self.projects if project.n_open != before[project.root]]
        for project in changed:
            self._note_open_documents(project)
        answer(event.reply, None)
        return changed

    def _note_open_documents(self, project: Project) -> None:
        """Something was opened or closed in `project`."""
        if self._watcher:
            self._watcher.claim(self._open_roots())
        self._publish({"type": "project", "root": project.root, "n_documents": project.n_open})

    def _find_root(self, path: str) -> str:
        """The project of the file at `path`: the innermost one in use around it, else what its folders say."""
        around = [root for root in self._open_roots() if path.startswith(f"{root.rstrip('/')}/")]
        innermost = max((root for root in around if not is_home_or_above(root)), key=len, default=None)
        return find_root(path) if innermost is None else worktree_within(innermost, path) or innermost

    def _open_roots(self) -> list[str]:
        """The roots of the projects in which something is open."""
        return [project.root for project in self.projects if project.n_open]

    # --- what is on disk ----------------------------------------------------------------------------------------------

    def _watch(self, root: str) -> None:
        if self._watcher is None:
            return
        if self._budget is None:
            self._waiting[root] = None
            return
        self._watcher.watch(root, self._budget, root in self._named)

    def _update_files(self, event: FilesChanged) -> list[Project]:
        is_shown = self.projects.set_files(event.root, event.files, event.is_first)
        self._publish({"type": "files", "root": event.root, "n_files": len(event.files)})
        projects = [project for project in self.projects if project.root == event.root]
        news = [self._follow(project, event.rules) | self._show_diff(project, event.diff) for project in projects]
        return projects if is_shown or any(news) else []

    def _show_diff(self, project: Project, diff: str) -> bool:
        """Show what the branch has changed; whether that is news."""
        known = project.tails.get(WORKING_NAME)
        if diff == (known.text if known else ""):
            return False
        project.add_tail(Tail(WORKING_NAME, diff, once=False, is_diff=True))
        return True

    def _look_at_staged(self, project: Project, document: Document) -> None:
        """Somebody writes the message of a commit; with `git commit --verbose` the diff is in it."""
        if self._watcher is None or not is_commit_message(document.path) or "\ndiff --git " in document.text:
            return
        root, key, n_characters = project.root, document.key, (self._budget or FileBudget()).n_bytes // SHARE
        open_paths = frozenset(other.key for other in project.documents.values() if other.is_open)
        secrets = self._shows_secrets
        self._watcher.find_staged(lambda: StagedFound(root, key, staged_diff(key, n_characters, open_paths, secrets)))

    def _show_staged(self, event: StagedFound) -> list[Project]:
        projects = [one for one in self.projects if one.root == event.root and one.is_open(event.key)]
        for project in projects:
            project.add_tail(Tail(NAME, event.diff, once=False, key=event.key))
        return projects

    def _read_rules(self, project: Project) -> None:
        """Read what is to be shown before the first prompt is made, and where nothing is watched."""
        if project.root.startswith("/"):
            self._follow(project, rules_at(project.root, project.rules))

    def _follow(self, project: Project, rules: ContextRules) -> bool:
        """Show of `project` what `rules` say; whether they are others than before."""
        if rules.text == project.rules.text:
            return False
        project.rules = rules
        if rules.problem:
            logger.warning("In %s: %s", project.root, rules.problem)
        return True
