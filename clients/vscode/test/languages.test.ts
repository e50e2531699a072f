import assert from "node:assert/strict";
import { test } from "node:test";
import { completes, toggled } from "../src/languages";

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
