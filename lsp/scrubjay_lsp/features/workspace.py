"""Workspace folders, each a project of the daemon, and files that changed on disk."""

from collections.abc import Iterable

from lsprotocol import types
from pygls.uris import from_fs_path, to_fs_path

from scrubjay.uris import path_of
from scrubjay_lsp.documents import root_of
from scrubjay_lsp.server import ScrubjayServer


def register(server: ScrubjayServer) -> None:
    """Documents belong to the innermost folder that holds them."""
    folders: dict[str, str] = {}

    def add(uris: Iterable[str]) -> None:
        folders.update({uri: path for uri in uris if (path := _folder(uri))})

    def begin(params: types.InitializeParams) -> None:
        roots = [folder.uri for folder in params.workspace_folders or []]
        root = params.root_uri or from_fs_path(params.root_path or "")
        add(roots or ([root] if root else []))
        server.documents.set_folders(folders)

    server.on_initialize.append(begin)

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def did_change_folders(params: types.DidChangeWorkspaceFoldersParams) -> None:
        for folder in params.event.removed:
            folders.pop(folder.uri, None)
        add(folder.uri for folder in params.event.added)
        server.documents.set_folders(folders)

    # Files are watched by the daemon. Where an editor tells as well, what has been seen of them is warmed at once.
    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def did_change_files(params: types.DidChangeWatchedFilesParams) -> None:
        closed = [change.uri for change in params.changes if server.documents.find(change.uri) is None]
        for root in sorted({root for uri in closed if (root := root_of(uri, folders))}):
            if server.daemon.is_connected:
                server.daemon.submit("warm", {"root": root})


def _folder(uri: str) -> str | None:
    """The path of a workspace folder, or what stands for it where it is on another machine."""
    try:
        return path_of(uri) or to_fs_path(uri)
    except ValueError:  # `file://[`: not every text is a URI
        return None
