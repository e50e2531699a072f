import assert from "node:assert/strict";
import { test } from "node:test";
import { whyNotRunnable } from "../src/program";

test("a missing program is told with what installs it", async () => {
  assert.match((await whyNotRunnable("no-such-scrubjay")) ?? "", /"no-such-scrubjay" was not found.*pipx install scrubjay/);
});

test("a program that can be run is no trouble", async () => {
  assert.equal(await whyNotRunnable(process.execPath), undefined);
});
