import assert from "node:assert/strict";
import { test } from "node:test";
import { page } from "../src/page";
import { aContext, aStatus } from "./samples";

test("the strip shows segments in proportion, checkpoints, and what is not warm", () => {
  const text = page(aStatus(), aContext(), "n");
  assert.match(text, /class="file" x="0.00" y="6" width="500.00"/);
  assert.equal(text.match(/<line class="mark"/g)?.length, 2);
  assert.match(text, /class="cold" x="617.00" y="6" width="383.00"/);
});

test("the latest prompt comes first, under its file's name", () => {
  const text = page(aStatus(), aContext(), "n");
  assert.ok(text.indexOf("b c.py</td>") > 0 && text.indexOf("b c.py</td>") < text.lastIndexOf("cold</td>"));
});

test("nothing runs in the page, and no name can change it", () => {
  const text = page(aStatus({ message: "<script>x</script>" }), aContext({ root: `/home/"<b>` }), "abc");
  assert.match(text, /default-src 'none'; style-src 'nonce-abc'/);
  assert.doesNotMatch(text, /<script|"<b>/);
});

test("there is a page before anything is known", () => {
  assert.match(page(undefined, undefined, "n"), /not there yet/);
  assert.doesNotMatch(page(aStatus(), aContext({ segments: [], n_resident: 0 }), "n"), /NaN|undefined/);
});
