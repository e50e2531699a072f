import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";

const manifest = JSON.parse(readFileSync("package.json", "utf8"));
const sources = ["commands", "nextEdit", "statusView"].map((name) => readFileSync(`src/${name}.ts`, "utf8")).join("");

test("there are few settings, and each is described", () => {
  const settings = Object.values<{ markdownDescription?: string }>(manifest.contributes.configuration.properties);
  assert.ok(settings.length <= 11);
  assert.ok(settings.every((setting) => setting.markdownDescription));
});

test("each command that is offered exists", () => {
  for (const { command } of manifest.contributes.commands) assert.ok(sources.includes(`"${command}"`), command);
});

test("no folder chooses the program unless it is trusted", () => {
  const { restrictedConfigurations } = manifest.capabilities.untrustedWorkspaces;
  assert.ok(restrictedConfigurations.includes("scrubjay.path"));
});

test("the lock file names no place to fetch from", () => {
  assert.doesNotMatch(readFileSync("package-lock.json", "utf8"), /"resolved"/);
});

test("no command has the name of one of the language server's, which are commands of VS Code as well", () => {
  const names = manifest.contributes.commands.map(({ command }: { command: string }) => command);
  for (const name of ["status", "context", "warm", "accept", "reject", "restart", "diagnose", "prompt"]) assert.ok(!names.includes(`scrubjay.${name}`), name);
});

test("each file that the manifest names is there, and each command of the walkthrough", () => {
  const [walkthrough] = manifest.contributes.walkthroughs;
  assert.equal(walkthrough.steps.length, 3);
  for (const { media, description } of walkthrough.steps) {
    assert.ok(existsSync(media.markdown), media.markdown);
    const [, command] = /command:([\w.]+)/.exec(description) ?? [];
    assert.ok(manifest.contributes.commands.some((offered: { command: string }) => offered.command === command), command);
  }
  assert.ok(existsSync(manifest.icon));
});
