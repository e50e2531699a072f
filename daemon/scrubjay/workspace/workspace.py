"""What the projects are told: what clients have open, and what lies on disk beside it.

Called by the service's loop only.
"""

from collections.abc import Callable

from scrubjay.notifications import Notification
from scrubjay.workspace.events import (
    ChangeDocument,
    CloseDocument,
    CloseOwner,
    FilesChanged,
    FocusDocument,
    OpenDocument,
    SaveDocument,
    answer,
)
from scrubjay.workspace.file_tree import FileBudget
from scrubjay.workspace.project import Project
from scrubjay.workspace.projects import Projects
from scrubjay.workspace.roots import find_root, is_home_or_above
from scrubjay.workspace.watcher import Watcher

Told = OpenDocument | ChangeDocument | CloseDocument | SaveDocument | FocusDocument | CloseOwner | FilesChanged


class Workspace:
    """Lets the projects absorb what happens to documents and files.

    Args:
        post: takes what is found on disk.
        touched: told of each project in which something happened.
        tell: takes what listeners should know.
        is_watching: whether to know of files that are not open, too.
    """

    def __init__(
        self,
        projects: Projects,
        post: Callable[[FilesChanged], None],
        touched: Callable[[Project], None],
        tell: Callable[[Notification], None],
        is_watching: bool,
    ) -> None:
        self._projects = projects
        self._touched = touched
        self._tell = tell
        self._watcher = Watcher(post) if is_watching else None
        self._share: FileBudget | None = None
        # Roots that were opened before it was known what the model can take in, in order; and those that clients named.
        self._waiting: dict[str, None] = {}
        self._named: set[str] = set()

    def absorb(self, event: Told) -> None:
        """Let the projects know of `event`, and answer it.

        Raises:
            RequestError: it does not fit what is open.
        """
        match event:
            case OpenDocument():
                self._open(event)
            case ChangeDocument():
                self._change(event)
            case CloseDocument():
                self._close(event)
            case SaveDocument():
                self._projects.save(event.uri, event.owner)
                # Its root may have gone and come again, as when a repository is cloned anew.
                self._watch(self._projects.project_of(event.uri, event.owner).root)
                self._happened(event)
            case FocusDocument():
                self._projects.focus(event.uri, event.position, event.encoding, event.owner)
                self._happened(event)
            case CloseOwner():
                self._close_owner(event)
            case FilesChanged():
                self._files_changed(event)

    def model_is_ready(self, prefill_speed: float, n_ctx: int) -> None:
        """The model can take in so many tokens per second, and so many at all."""
        self._share = FileBudget.for_model(prefill_speed, n_ctx)
        for root in self._waiting:
            self._watch(root)
        self._waiting = {}

    async def close(self) -> None:
        """Watch nothing any more."""
        if self._watcher:
            await self._watcher.close()

    # --- what clients have open ---------------------------------------------------------------------------------------

    def _open(self, event: OpenDocument) -> None:
        document = self._projects.open(
            event.uri, event.language, event.version, event.text, event.root, self._find_root, event.owner
        )
        project = self._projects.project_of(event.uri, event.owner)
        if event.root is not None:
            self._named.add(project.root)
        self._watch(project.root)
        self._opened_or_closed(project)
        answer(event.reply, document.version)

    def _change(self, event: ChangeDocument) -> None:
        document = self._projects.change(
            event.uri, event.version, event.changes, event.encoding, event.base_version, event.owner
        )
        self._touched(self._projects.project_of(event.uri, event.owner))
        answer(event.reply, document.version)

    def _close(self, event: CloseDocument) -> None:
        project = self._projects.project_of(event.uri, event.owner)
        self._projects.close(event.uri, event.owner)
        self._opened_or_closed(project)
        answer(event.reply, None)

    def _happened(self, event: SaveDocument | FocusDocument) -> None:
        self._touched(self._projects.project_of(event.uri, event.owner))
        answer(event.reply, None)

    def _close_owner(self, event: CloseOwner) -> None:
        before = {project.root: project.n_open for project in self._projects}
        self._projects.close_owner(event.owner)
        for project in self._projects:
            if project.n_open != before[project.root]:
                self._opened_or_closed(project)
        answer(event.reply, None)

    def _opened_or_closed(self, project: Project) -> None:
        self._touched(project)
        if self._watcher:
            self._watcher.claim(self._used_roots())
        self._tell({"type": "project", "root": project.root, "n_documents": project.n_open})

    def _find_root(self, path: str) -> str:
        """The project of the file at `path`: the innermost one in use around it, else what its folders say."""
        around = (root for root in self._used_roots() if path.startswith(f"{root.rstrip('/')}/"))
        return max((root for root in around if not is_home_or_above(root)), key=len, default="") or find_root(path)

    def _used_roots(self) -> list[str]:
        """The roots of the projects in which something is open."""
        return [project.root for project in self._projects if project.n_open]

    # --- what lies on disk --------------------------------------------------------------------------------------------

    def _watch(self, root: str) -> None:
        if self._watcher is None:
            return
        if self._share is None:
            self._waiting[root] = None
            return
        self._watcher.watch(root, self._share, root in self._named)
        for old in self._watcher.crowded_out():
            # What is open there is watched however long ago it was opened.
            if not self._projects.by_root(old).n_open:
                self._watcher.unwatch(old)
                self._projects.on_disk(old, (), is_first=False)

    def _files_changed(self, event: FilesChanged) -> None:
        if self._projects.on_disk(event.root, event.files, event.is_first):
            self._touched(self._projects.by_root(event.root))
        self._tell({"type": "files", "root": event.root, "n_files": len(event.files)})
