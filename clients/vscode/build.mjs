// One bundle for VS Code; with --tests, one for each file of tests, for Node alone.
import { readdirSync } from "node:fs";
import { build } from "esbuild";

const forTests = process.argv.includes("--tests");
const tests = () => readdirSync("test").filter((name) => name.endsWith(".test.ts")).map((name) => `test/${name}`);

await build({
  entryPoints: forTests ? tests() : ["src/extension.ts"],
  ...(forTests ? { outdir: "out" } : { outfile: "dist/extension.js" }),
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  external: ["vscode"],
  minify: process.argv.includes("--minify"),
  logLevel: "warning",
});
