import assert from "node:assert/strict";
import { test } from "node:test";
import { findingLines } from "../src/findings";

test("each station has a line, and what is wrong says what helps", () => {
  const lines = findingLines([{ ok: true, what: "a", help: "" }, { ok: false, what: "b", help: "do c" }], true, undefined);
  assert.deepEqual(lines.slice(-2), ["ok      a", "NOT OK  b: do c"]);
  assert.equal(lines.filter((line) => line.startsWith("NOT OK")).length, 1);
});

test("without a server, the extension's own findings say so", () => {
  const text = findingLines(undefined, false, "It was not found.").join("\n");
  assert.match(text, /NOT OK {2}VS Code asks/);
  assert.match(text, /NOT OK {2}the program scrubjay can be run: It was not found\./);
  assert.match(text, /NOT OK {2}the language server answers/);
});
