"""The state of the daemon and of its contexts, as JSON."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from time import monotonic
from typing import Any

import psutil

from scrubjay import __version__
from scrubjay.context_keys import group_of
from scrubjay.protocol.contexts import ContextStatus, EngineStatus
from scrubjay.service.request_log import BOUNDS_MS, TokenSums
from scrubjay.service.scheduler import Scheduler
from scrubjay.service.served_model import ServedModel
from scrubjay.service.service import Service
from scrubjay.service.tenants import OWNER, Tenant
from scrubjay.workspace.project import Project

Json = dict[str, Any]


class StatusReport:
    """Reads a service; changes nothing.

    Args:
        about: what the process says of itself: where it listens, how it was configured, what went wrong last.

    Attributes:
        n_editors: how many sessions are open, as they say.
        tenants: who may ask beside this machine's user.
        n_refused: by the names of their keys, how many of their requests were one too many.
    """

    def __init__(self, service: Service, about: Callable[[], Json] = dict) -> None:
        self._service = service
        self._about = about
        self._process = psutil.Process()
        self._started = monotonic()
        self.n_editors = 0
        self.tenants: tuple[Tenant, ...] = ()
        self.n_refused: Counter[str] = Counter()

    def status(self, tenant: Tenant = OWNER) -> Json:
        """What `GET /api/status` answers; to one with a key of his own, what is his and his group's."""
        if not tenant.is_owner:
            return self._status_of(tenant)
        models = [_model(model, "") for model in self._service.models]
        sizes = [model["rss"] for model in models if model["rss"] is not None]
        return {
            "version": __version__,
            "pid": os.getpid(),
            "uptime_s": round(monotonic() - self._started, 1),
            **{key: value for key, value in models[0].items() if key not in ("name", "purposes")},
            "models": models,
            "paused": self._service.is_paused,
            "projects": [_project(project) for project in self._service.projects],
            "totals": self._totals(""),
            "keys": [self._key(tenant) for tenant in self.tenants],
            "acceptance": self._service.acceptance.rows(),
            "n_editors": self.n_editors,
            "rss": {"daemon": self._process.memory_info().rss, "engine": sum(sizes) if sizes else None},
            "on_gpus": sum(model["on_gpus"] for model in models),
            **self._about(),
        }

    def _status_of(self, tenant: Tenant) -> Json:
        own = ("name", "purposes", "state", "message", "load", "contexts", "queue")
        models = [_model(model, tenant.group) for model in self._service.models]
        return {
            "version": __version__,
            "key": tenant.name,
            "models": [{name: model[name] for name in own} for model in models],
            "totals": self._totals(tenant.group),
            "keys": [self._key(other) for other in self.tenants if other.group == tenant.group],
        }

    def context(self, root: str) -> Json:
        """What `GET /api/context` answers.

        Raises:
            RequestError: 404, there is no such project.
        """
        root = self._service.projects.by_root(root).root
        resident, info = self._service.dispatcher.residency.of(root), self._service.supervisor.info
        status = self._service.models.first.status
        found = next((context for context in (status.contexts if status else ()) if context.key == root), None)
        prompt = resident.prompt
        spans = zip(prompt.segments, prompt.reasons, strict=True) if prompt else ()
        return {
            "root": root,
            "segments": [{**span._asdict(), "reason": reason} for span, reason in spans],
            "boundaries": list(prompt.boundaries) if prompt else [],
            "checkpoints": list(found.checkpoints) if found else [],
            "n_resident": found.n_resident if found else 0,
            "n_on_disk": found.n_on_disk if found else 0,
            "n_ctx": info.n_ctx if info else 0,
            "interval": info.interval if info else 0,
            "edits": [asdict(cost) for cost in resident.costs],
        }

    def document(self, uri: str) -> Json:
        """What `GET /api/documents` answers.

        Raises:
            RequestError: 404, it is not open.
        """
        document = self._service.projects.document(uri)
        return {
            "uri": document.uri,
            "language": document.language,
            "version": document.version,
            "text": document.text,
        }

    def _key(self, tenant: Tenant) -> Json:
        """What one with a key has asked for."""
        sums = self._service.models.logs.sums(tenant.name)
        requests = (request for model in self._service.models for request in model.dispatcher)
        return {
            **{"name": tenant.name, "group": tenant.group, "weight": tenant.weight},
            **asdict(sums),
            "saved": sums.prompt - sums.processed,
            "n_in_flight": sum(request.ask.tenant.name == tenant.name for request in requests),
            "n_refused": self.n_refused[tenant.name],
        }

    def _totals(self, group: str) -> Json:
        log = self._service.models.logs.of(group)
        totals = log.totals
        return {
            "since_start": _sums(totals.all),
            "today": _sums(totals.on_day(log.today)),
            "bounds_ms": list(BOUNDS_MS),
            "first_token_ms": asdict(totals.first_token),
            "own_ms": asdict(totals.own),
        }


def _model(model: ServedModel, group: str) -> Json:
    """Of one model what `group` may know."""
    status, info = model.status, model.supervisor.info
    contexts = [context for context in status.contexts if group_of(context.key) == group] if status else []
    return {
        "name": model.name,
        "purposes": list(model.settings.purposes),
        **model.state(),
        "model": asdict(info) if info else None,
        "fim": {"order": model.fim_order, "style": model.prompt_style} if model.fim_order else None,
        "contexts": [_context(context) for context in contexts],
        **_memory(status),
        "queue": _queue(model.dispatcher.scheduler),
        "counters": _counters(model),
        "rss": status.rss if status else None,
        "on_gpus": status.on_gpus if status else 0,
    }


def _queue(scheduler: Scheduler) -> Json:
    running = scheduler.running
    return {"running": running.priority.name.lower() if running else None, "queued": len(scheduler.queue.waiting)}


def _counters(model: ServedModel) -> Json:
    scheduler, status = model.dispatcher.scheduler, model.status
    ended = {f"n_{outcome}": n for outcome, n in sorted(scheduler.ended.items())}
    engine = _engine_counters(status) if status else {}
    return {"n_accepted": scheduler.n_accepted, **ended, "n_restarts": model.supervisor.n_restarts, **engine}


def _project(project: Project) -> Json:
    focus = project.focus
    return {
        "root": project.root,
        "name": project.name,
        "n_documents": project.n_open,
        "n_files": len(project.files),
        "focus": {"uri": focus.document.uri, "offset": focus.offset} if focus else None,
    }


def _sums(sums: TokenSums) -> Json:
    return {**asdict(sums), "saved": sums.prompt - sums.processed}


def _context(context: ContextStatus) -> Json:
    return {
        "key": context.key,
        "n_resident": context.n_resident,
        "n_checkpoints": len(context.checkpoints),
        "checkpoint_bytes": context.checkpoint_bytes,
    }


def _memory(status: EngineStatus | None) -> Json:
    checkpoints = branches = (0, 0, 0)
    if status is not None:
        checkpoints = (status.n_checkpoints, status.checkpoint_bytes, status.checkpoint_budget)
        branches = (status.n_branches, status.branch_bytes, status.branch_budget)
    names = ("count", "bytes", "budget")
    return {
        "checkpoints": dict(zip(names, checkpoints, strict=True)),
        "branches": dict(zip(names, branches, strict=True)),
        "records": asdict(status.records) if status and status.records else None,
    }


def _engine_counters(status: EngineStatus) -> Json:
    sizes = ("n_checkpoints", "n_branches")
    return {key: value for key, value in asdict(status).items() if key.startswith("n_") and key not in sizes}
