import assert from "node:assert/strict";
import { test } from "node:test";
import { completes, proposes, toggled } from "../src/languages";

test("a language's own entry counts, then that of all others, then yes", () => {
  assert.equal(completes({ "*": false, python: true }, "python"), true);
  assert.equal(completes({ "*": false, python: true }, "c"), false);
  assert.equal(completes({}, "c"), true);
});

test("toggling changes one language and the rest not", () => {
  const before = { "*": true, markdown: false };
  assert.deepEqual(toggled(before, "python"), { ...before, python: false });
  assert.deepEqual(toggled(before, "markdown"), { ...before, markdown: true });
});

test("next edits are off unless a language, or all, are switched on", () => {
  assert.equal(proposes({}, "python"), false);
  assert.equal(proposes({ python: true }, "python"), true);
  assert.equal(proposes({ "*": true, c: false }, "python"), true);
  assert.equal(proposes({ "*": true, c: false }, "c"), false);
});
