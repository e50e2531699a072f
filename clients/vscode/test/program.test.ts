import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { located, whyNotRunnable } from "../src/program";

test("a missing program is told with what installs it", async () => {
  assert.match((await whyNotRunnable("no-such-scrubjay")) ?? "", /"no-such-scrubjay" was not found.*pipx install \./);
});

test("a program that is on no path is found where pipx and uv put it", () => {
  const home = mkdtempSync(join(tmpdir(), "scrubjay-"));
  assert.equal(located("scrubjay", home, ""), "scrubjay");
  mkdirSync(join(home, ".local/bin"), { recursive: true });
  writeFileSync(join(home, ".local/bin/scrubjay"), "");
  assert.equal(located("scrubjay", home, ""), join(home, ".local/bin/scrubjay"));
  assert.equal(located("/opt/scrubjay", home, ""), "/opt/scrubjay");
  assert.equal(located("scrubjay", home, join(home, ".local/bin")), "scrubjay");
  rmSync(home, { recursive: true });
});

test("a program that can be run is no trouble", async () => {
  assert.equal(await whyNotRunnable(process.execPath), undefined);
});

test("nothing is imported from the folder in which VS Code runs", async () => {
  const [folder, before] = [mkdtempSync(join(tmpdir(), "scrubjay-")), process.cwd()];
  writeFileSync(join(folder, "token.py"), `open(${JSON.stringify(join(folder, "ran"))}, "w")`);
  writeFileSync(join(folder, "scrubjay"), "#!/bin/sh\nexec python3 -c 'import tokenize'\n");
  chmodSync(join(folder, "scrubjay"), 0o755);
  process.chdir(folder);
  try {
    assert.equal(await whyNotRunnable(join(folder, "scrubjay")), undefined);
    assert.ok(!existsSync(join(folder, "ran")));
  } finally {
    process.chdir(before);
    rmSync(folder, { recursive: true });
  }
});
