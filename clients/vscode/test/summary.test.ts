import assert from "node:assert/strict";
import { test } from "node:test";
import { summarize, type Known } from "../src/summary";
import { aContext, aStatus } from "./samples";

const known = (changes: Partial<Known> = {}): Known => ({ enabled: true, status: aStatus(), context: aContext(), ...changes });

test("the tooltip tells the model, what is warm, and the last cost", () => {
  const { text, tooltip, severity } = summarize(known());
  assert.equal(text, "$(check) Scrubjay");
  assert.match(tooltip, /Scrubjay: ready/);
  assert.match(tooltip, /Model: small\\-model \(hybrid\)/);
  assert.match(tooltip, /Warm: 1,234 of 8,192 tokens, 2 checkpoints/);
  assert.match(tooltip, /Last cost: 40 tokens, 7 needed, 13 ms \(checkpoint\)/);
  assert.equal(severity, "normal");
});

test("the model that is only a stand-in is called so", () => {
  const model = { name: "Scrubjay starter", memory_class: "hybrid", n_ctx: 4096 };
  assert.match(summarize(known({ status: aStatus({ model }) })).tooltip, /stand-in: `scrubjay model recommend`/);
  assert.doesNotMatch(summarize(known()).tooltip, /stand-in/);
});

test("what is wrong comes before everything else", () => {
  assert.match(summarize(known({ missing: true, enabled: false })).tooltip, /cannot be run/);
  const failed = summarize(known({ status: aStatus({ state: "failed", message: "No such file." }) }));
  assert.match(failed.tooltip, /No such file/);
  assert.equal(failed.severity, "error");
  const alone = { daemon: null, lsp: { link: "failed", message: "It does not start." } };
  assert.match(summarize(known({ status: alone })).tooltip, /It does not start/);
});

test("off, loading and starting can be told apart", () => {
  assert.match(summarize(known({ enabled: false })).tooltip, /: off/);
  assert.match(summarize(known({ offFor: "plaintext" })).tooltip, /: off\*\*\n\nGhost text is switched off for plaintext/);
  const load = { stage: "weights", fraction: 0.256 };
  assert.match(summarize(known({ status: aStatus({ state: "loading", load }) })).tooltip, /weights, 26 %/);
  assert.match(summarize({ enabled: true }).tooltip, /starting/);
});

test("a model whose memory was freed is not called ready, and it is said what loads it", () => {
  const { text, tooltip, severity } = summarize(known({ status: aStatus({ state: "unloaded" }) }));
  assert.equal(text, "$(circle-outline) Scrubjay");
  assert.match(tooltip, /Scrubjay: unloaded\*\*\n\nThe model's memory is free; the next completion loads it again/);
  assert.equal(severity, "normal");
});

test("a model's name cannot write Markdown", () => {
  const model = { name: "[x](command:evil)", memory_class: "dense", n_ctx: 1 };
  assert.match(summarize(known({ status: aStatus({ model }) })).tooltip, /\\\[x\\\]\\\(command:evil\\\)/);
});
