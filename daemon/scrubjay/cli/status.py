"""What `scrubjay status` shows of the daemon's report, and what of it is wrong or could be better."""

import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from shutil import which
from urllib.parse import unquote

from scrubjay import __version__
from scrubjay.process.client import Json

MIB = 1 << 20
STYLES = {
    "fim": "by its tokens for filling in the middle",
    "chat": "by its chat template: it has no tokens for filling in the middle, and completions are worse for that",
    "plain": "as plain text: it has no tokens for filling in the middle, so it never sees what is after the cursor",
}


def status_lines(report: Json) -> Iterator[str]:
    """What is shown of the answer of `GET /api/status`."""
    yield f"Scrubjay {report['version']}, process {report['pid']}, up for {report['uptime_s']:.0f} s: {report['state']}"
    if report["message"]:
        yield report["message"]
    if report["version"] != __version__:
        yield f"This command is of version {__version__}; `scrubjay restart` starts a daemon of that."
    if report["model"]:
        yield from _model(report)
    yield from _others(report)
    yield from _memory(report)
    yield from _records(report.get("records"))
    for project in report["projects"]:
        yield f"Project    {project['root']}: {project['n_documents']} documents open, {project['n_files']} files known"
    for row in report.get("acceptance", []):
        if row["shown"]:
            yield f"Helps      {row['root']}, {row['language'] or 'other'}: {helps(row)}"
    queue, counters = report["queue"], report["counters"]
    yield f"Requests   {counters['n_accepted']} accepted, {queue['queued']} waiting, now: {queue['running'] or 'none'}"
    for key in report.get("keys", []):
        saved = f"{key['saved']:,} of {key['prompt']:,} prompt tokens saved, {key['generated']:,} written"
        yield f"Key        {key['name']}: {key['n_requests']:,} requests, {key['n_in_flight']} in flight; {saved}"
    yield from _places(report.get("config") or {})
    if error := report.get("last_error"):
        yield f"Last {error['level']:<6}{error['message']} ({error['time']})"


def _model(report: Json) -> Iterator[str]:
    model = report["model"]
    if is_remote(model):
        yield f"Model      {model['name']}, run by {model['architecture']} at {model['device']}"
        yield f"           {model['n_ctx']} tokens of context; vocabulary: {model['path']}"
        yield from _prompts(report["fim"])
        return
    yield f"Model      {model['name']} ({model['architecture']}, {model['memory_class']}), {model['path']}"
    quantization = f"{model['quantization']}, " if model.get("quantization") else ""
    yield f"           {quantization}{model['size'] / MIB:.0f} MiB, {model['n_ctx']} tokens of context"
    yield from _prompts(report["fim"])
    gpu = f" ({model['gpu']})" if model.get("gpu") else ""
    yield f"Device     {model['device']}{gpu}, {_threads(model['n_threads'])}"
    if advice := missing_gpu(model):
        yield f"           {advice}"
    yield f"Speed      {model['prefill_speed']:.0f} tokens/s in, {model['generation_speed']:.0f} out, as measured at a start"


def _others(report: Json) -> Iterator[str]:
    """The models beside the one that completes code."""
    for model in report.get("models", ())[1:]:
        size = f", {model['rss'] / MIB:.0f} MiB" if model["rss"] else ""
        yield f"Model      {model['name']} for {', '.join(model['purposes'])}: {model['state']}{size}"
        if model["message"]:
            yield f"           {model['message']}"


def is_remote(model: Json) -> bool:
    """Whether another server runs the model, of whose memory and speed nothing is known here."""
    return bool(model["memory_class"] == "remote")


def _prompts(fim: Json | None) -> Iterator[str]:
    if fim:
        order = f" ({fim['order']})" if fim["style"] == "fim" else ""
        yield f"Prompts    {STYLES[fim['style']]}{order}"


def _threads(n_threads: int) -> str:
    return "1 thread" if n_threads == 1 else f"{n_threads} threads"


def _memory(report: Json) -> Iterator[str]:
    rss, checkpoints, model = report["rss"], report["checkpoints"], report["model"]
    engine = f", engine {rss['engine'] / MIB:.0f} MiB" if rss["engine"] else ""
    on_gpus = f", on GPUs {n / MIB:.0f} MiB" if (n := report.get("on_gpus")) else ""
    yield f"Memory     daemon {rss['daemon'] / MIB:.0f} MiB{engine}{on_gpus}"
    if not model or is_remote(model):
        return
    if not model["state_size"]:
        yield "           this model's memory can be cut anywhere, and needs no checkpoints"
    else:
        used = f"{checkpoints['bytes'] / MIB:.1f} of {checkpoints['budget'] / MIB:.0f} MiB"
        yield f"           {checkpoints['count']} checkpoints, {used}, one every {model['interval']} tokens and more"


def _records(records: Json | None) -> Iterator[str]:
    if records is None:
        return
    used = f"{records['bytes'] / MIB:.1f} of {records['budget'] / MIB:.0f} MiB"
    today = f"{records['bytes_today'] / MIB:.1f} of {records['daily_budget'] / MIB:.0f} MiB written today"
    yield f"On disk    {records['count']} records, {used}; {today}{'' if records['is_saved'] else '; not all is saved yet'}"
    if records["error"]:
        yield f"           {records['error']}"


def _places(config: Json) -> Iterator[str]:
    """Where it listens, and where its files are."""
    if not config:
        return
    yield f"Socket     {config['socket']}"
    yield f"HTTP       {', '.join(config['http']) or 'none; --http HOST:PORT adds it'}"
    yield f"Log        {config['log'] or 'on standard error, which whoever started it keeps'}"
    yield f"Options    {config['file'] or 'no file'}; `scrubjay config` lists them"


def helps(row: Json) -> str:
    """What became of the completions in a row of `acceptance`, or in several whose numbers were added."""
    names = {
        "accepted": "accepted",
        "accepted_in_part": "in part",
        "typed_out": "typed by hand",
        "rejected": "rejected",
    }
    counts = ", ".join(f"{row[name]:,} {words}" for name, words in names.items())
    looks = {"after_5_min": "5 minutes later", "at_save": "at save"}
    kept = [f"{_share(row[look])} {when}" for look, when in looks.items() if row[look]["characters"]]
    return f"{row['shown']:,} shown, {counts}" + (f"; kept: {', '.join(kept)}" if kept else "")


def _share(look: Json) -> str:
    return f"{100 * look['kept'] / look['characters']:.0f} %"


def missing_gpu(model: Json, gpu: str | None = None) -> str:
    """What to say if the machine has a GPU that llama.cpp was not built for, or none that it was built for; "" otherwise.

    Args:
        gpu: the kind that the machine has; None to look.
    """
    if model["device"] != "cpu" or model.get("can_offload", True):
        return ""
    if built_for := model.get("built_for"):
        return f"This llama.cpp is built for {built_for}, which finds no GPU: docs/install.md says how to check its driver."
    kind = found_gpu() if gpu is None else gpu
    backend = {"NVIDIA": "CUDA", "AMD": "HIP"}.get(kind)
    if not backend:
        return ""
    return (
        f"This llama.cpp is built for CPUs only, and the machine has a GPU of {kind}: build it again with "
        f'CMAKE_ARGS="-DGGML_{backend}=on", by the commands in docs/install.md.'
    )


def found_gpu(root: Path = Path("/")) -> str:
    """The maker of the GPU that this machine has a driver for: "NVIDIA", "AMD", or "" if none is found."""
    if sys.platform == "darwin":
        return ""  # Metal is what llama.cpp is built for there
    if (root / "proc/driver/nvidia/version").exists() or (root == Path("/") and which("nvidia-smi")):
        return "NVIDIA"
    return "AMD" if (root / "dev/kfd").exists() else ""


def summary(request: Json) -> str:
    """What a request of the log was, and what it cost."""
    name = unquote(request["uri"].rpartition("/")[2]) or request["root"]
    reuse = request["reuse"]
    cost = f"{reuse['processed']:,} of {reuse['prompt']:,} tokens" if reuse else request["outcome"]
    by_model = f" by {request['model']}" if request.get("model") else ""
    return f"{request['kind']} {name}: {cost}{by_model}"


def why_lines(request: Json) -> Iterator[str]:
    """A request of the log, for people: what it was and cost, the reason, and the text that changed."""
    at = datetime.fromtimestamp(request["at"]).astimezone()
    yield f"#{request['number']} {at:%H:%M:%S} {summary(request)}"
    yield f"    {request['why']}"
    if request["was"] != request["now"]:
        yield from (f"    {sign} {request[key]}" for sign, key in (("-", "was"), ("+", "now")) if request[key].strip())
