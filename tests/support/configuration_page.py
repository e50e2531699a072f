"""docs/configuration.md, made from the options themselves: `python -m tests.support.configuration_page` writes it."""

import re
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any

from scrubjay.config import options
from scrubjay.key_tables import MAX_REQUESTS
from scrubjay.model_tables import MODEL_OPTIONS, PURPOSES

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
HEAD = """\
# Configuration

<!-- Made by `python -m tests.support.configuration_page` from daemon/scrubjay/config.py; a test compares the two. -->

Every option has three names, the stronger source last:

1. a key of the TOML file, `~/.config/scrubjay/config.toml` (macOS: `~/Library/Application Support/scrubjay/config.toml`), or the
   file that `--config FILE` or the variable `SCRUBJAY_CONFIG` names;
2. an environment variable, `SCRUBJAY_` and the name in capitals;
3. a flag of `scrubjay serve`, `start`, `complete` and `warm`.

```toml
model = "hf:Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF:Q8_0"
ctx = 32768
http = "127.0.0.1:8012"
warm-on-battery = true
```

The same by variables, and by flags:

```sh
SCRUBJAY_CTX=32768 SCRUBJAY_WARM_ON_BATTERY=true scrubjay start
scrubjay start --ctx 32768 --warm-on-battery
```

`scrubjay config` shows the file, the values that count and what sets them; `scrubjay config --example` prints a file with every
option. `scrubjay model use MODEL` writes the model into the file.

A running daemon keeps its options: `scrubjay restart` reads the file again, and takes flags over those that the daemon was
started with. `start`, `complete` and `warm` with options that a running daemon does not have end with status 1. A wrong value or
an unknown key or flag is refused, with the name of its source; an unknown variable is only warned of. Sizes are bytes, or a
number with K, M, G or T (each 1024 of the one before). A switch is `true` or `false` in the file and in a variable, and `--NAME`
or `--no-NAME` as a flag.

| flag and key | variable | default | meaning |
|---|---|---|---|
"""
TAIL = """\

## Without a Unix socket

With the variable `SCRUBJAY_LOCAL=tcp` a daemon listens on a port of 127.0.0.1 in place of its Unix socket: for folders that
cannot hold one, as some shared folders cannot. At the path of `--socket` is a file then that only its user can read, with the
port and a token, which is another one in each run. The command line, editors and `clients/python` find out by themselves which
of the two is there; [http.md](http.md) says how other programs do. A socket of systemd's (`scrubjay service`) is always a Unix
socket.

## What is shown of a project

Beside the file that is edited, prompts show other files of its project: what is open, then what was edited last, as far as
there is room, and of files without room the lines that look most like those around the cursor. A project says in
`.scrubjay.toml`, in its root, what else it wants:

```toml
[context]
always = ["src/types/"]       # before all others; patterns as in .gitignore
never = ["vendor/", "*.sql"]  # not even if they are open
only = "open"                 # nothing else that is not open; "file": nothing but the file that is edited
```

`never` is stronger than `always`; what `.gitignore` or `.scrubjayignore` leave out stays out until it is opened. The file
counts from the next prompt on, as soon as it is saved. A mistake in it is logged, and the rules from before hold.
While the message of a commit is written, in `COMMIT_EDITMSG`, prompts for it show the diff of that commit as well, without
what is not shown otherwise; where files are watched (`--watch`), and unless the message has it already (`git commit -v`).
With `--show-diff` all prompts show what the branch has changed since it left `origin/HEAD`, `main` or `master`, committed or
not, in other files: at most a quarter of the prompt, before the file that is edited, and brought up to date at pauses.
`scrubjay context FILE:LINE` prints the prompt for a line as the model gets it, with the tokens and the reason of each part;
*Scrubjay: Show the Prompt at the Cursor* does in VS Code, and `M-x scrubjay-prompt` in Emacs.

## Several models

A daemon serves several models, each in a process of its own: one that completes code, one for conversations, one that makes
vectors of texts. Each has a table with its name:

```toml
[models.fim]
source = "hf:Qwen/Qwen2.5-Coder-1.5B-GGUF"
purposes = ["complete"]

[models.talk]
source = "hf:Qwen/Qwen2.5-Coder-7B-Instruct-GGUF"
purposes = ["chat"]
ctx = 32768
idle-unload = 20
```

`source` is what `model` may be. `purposes` are some of {purposes}; without them a model whose name is one of these has that
purpose, and any other completes and chats. Beside these two a table may have {options}; what it
leaves out is as above. `--model NAME=MODEL`, as often as wanted, is a table with nothing but its source, or the source of a
table that there is.

The first model for `complete` serves the editors; if `model` is set as well, that one does. It is loaded at the start. Each
other model is loaded when something is asked of it, and its memory freed by `idle-unload`. The engines together take at most
three quarters of the machine's memory, as far as they say what they take: where another one needs more, the one that was used
least recently ends, unless it is at work. What its contexts held is in the records, as after a restart.

A request chooses by its `model`: a name, else a purpose, else the beginning of a name. Any other name is ignored, and the model
with the purpose of the route answers, or else the one that completes code. Embeddings need a model with the purpose `embed`.

A model for `edit` proposes [next edits](http.md#post-apinext-edit). Such models each have a format of their own, which the
name of the table or of the file says: `sweep` (Sweep's 0.5B and 1.5B), `sweep-v2` (7B), `zeta-2` or `zeta-2.1` (Zed's), for
example `--model zeta-2.1=/models/zeta.gguf` with `purposes = ["edit"]` in its table. They were tried with the formats as
published, and not with the real weights.

## Keys for several people

`scrubjay key new NAME` prints a key for somebody, and the lines that let it in. The file has only the key's SHA-256:

```toml
http = "0.0.0.0:8012"

[keys.anna]
hash = "sha256:..."
group = "backend"
weight = 2

[keys.bob]
hash = "sha256:..."
group = "backend"
max-requests = 4
```

Contexts, checkpoints, records and the log of requests are those of one key, and used for nobody else, unless keys name
the same `group`. Where several want the model, each has a part of it by his `weight` (default: 1). `max-requests`
(default: {max_requests}) are those that he may have in flight.
[scaling.md](scaling.md#a-box-for-a-few-colleagues) has more.
"""
PLACES = {
    "socket": "`$XDG_RUNTIME_DIR/scrubjay/daemon.sock`, or the platform's folder",
    "data_dir": "`$XDG_DATA_HOME/scrubjay`, or the platform's folder",
}
_DEFAULT = re.compile(r" \(default: ([^)]*)\)")


def page() -> str:
    """The text of the page."""
    of_model = ", ".join(f"`{name.replace('_', '-')}`" for name in MODEL_OPTIONS)
    purposes = ", ".join(f"`{purpose}`" for purpose in PURPOSES)
    return (
        HEAD
        + "".join(map(_row, options()))
        + TAIL.format(purposes=purposes, options=of_model, max_requests=MAX_REQUESTS)
    )


def _row(option: Field[Any]) -> str:
    key = option.name.replace("_", "-")
    metavar, text = option.metadata["metavar"], option.metadata["help"]
    flag = f"`--{key} {metavar}`" if metavar else f"`--{key}`"
    meaning = _DEFAULT.sub("", text)
    return f"| {flag} | `SCRUBJAY_{option.name.upper()}` | {_default(option, text)} | {meaning} |\n"


def _default(option: Field[Any], text: str) -> str:
    if said := _DEFAULT.search(text):
        return said[1]
    if option.default is MISSING:
        return PLACES[option.name]
    return str(option.default).lower() if option.default != "" else "none"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
