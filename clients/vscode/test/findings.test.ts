import assert from "node:assert/strict";
import { test } from "node:test";
import { findingLines, promptLines } from "../src/findings";

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

test("a prompt is shown part by part, as the model gets it", () => {
  const parts = [
    { kind: "file", label: "b.py", n_tokens: 3, reason: "another file", text: "<file>b.py\nx = 1\n" },
    { kind: "middle", label: "a.py", n_tokens: 2, reason: "to the cursor", text: "<fim>y" },
  ];
  const lines = promptLines({ tokens: 5, parts, problem: ".scrubjay.toml is not followed." });
  assert.match(lines[0] ?? "", /5 tokens/);
  assert.ok(lines.includes(".scrubjay.toml is not followed."));
  assert.deepEqual(lines.slice(-4), ["--- file b.py: 3 tokens; another file", parts[0]?.text, "--- middle a.py: 2 tokens; to the cursor", parts[1]?.text]);
});

test("without a prompt, the reason is shown", () => {
  assert.deepEqual(promptLines({ error: "Loading model" }), ["Loading model"]);
  assert.match(promptLines(undefined).join(), /does not answer/);
});
