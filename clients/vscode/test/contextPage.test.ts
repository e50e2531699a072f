import assert from "node:assert/strict";
import { test } from "node:test";
import { contextPage } from "../src/contextPage";
import { aContext, aStatus } from "./samples";

test("the strip shows segments in proportion, checkpoints, and what is not warm", () => {
  const text = contextPage(aStatus(), aContext(), "n");
  assert.match(text, /class="file" x="0.00" y="6" width="500.00"/);
  assert.equal(text.match(/<line class="mark"/g)?.length, 2);
  assert.match(text, /class="cold" x="617.00" y="6" width="383.00"/);
});

test("the latest prompt comes first, under its file's name", () => {
  const text = contextPage(aStatus(), aContext(), "n");
  assert.ok(text.indexOf("b c.py</td>") > 0 && text.indexOf("b c.py</td>") < text.lastIndexOf("cold</td>"));
});

test("a name that is not percent-encoded properly is shown as it is", () => {
  const cost = { processed: 1, needed: 1, ms: 1, reason: "cold" };
  const uris = ["file:///home/p/100%.py", "untitled:50%off", "file:///home/p/%ff%C3%A9.py", "%", ""];
  const text = contextPage(aStatus(), aContext({ edits: uris.map((uri) => ({ uri, ...cost })) }), "n");
  for (const name of ["100%.py", "untitled:50%off", "%ff%C3%A9.py"]) assert.ok(text.includes(`<td>${name}</td>`), name);
});

test("nothing runs in the page, and no name can change it", () => {
  const text = contextPage(aStatus({ message: "<script>x</script>" }), aContext({ root: `/home/"<b>` }), "abc");
  assert.match(text, /default-src 'none'; style-src 'nonce-abc'/);
  assert.doesNotMatch(text, /<script|"<b>/);
});

test("there is a page before anything is known", () => {
  assert.match(contextPage(undefined, undefined, "n"), /not there yet/);
  assert.doesNotMatch(contextPage(aStatus(), aContext({ segments: [], n_resident: 0 }), "n"), /NaN|undefined/);
});
