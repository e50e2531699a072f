import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fetchContext, rootOf } from "../src/daemon";
import { aContext } from "./samples";

/** Run `use` with the socket of a server that answers as `listener` does. */
async function withServer(listener: RequestListener, use: (socket: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "scrubjay-"));
  const socket = join(folder, "s");
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  try {
    await use(socket);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true });
  }
}

test("a context is asked for over the socket, whatever is in its root's name", async () => {
  let asked = "";
  const answer: RequestListener = (request, response) => {
    asked = new URL(request.url ?? "", "http://daemon").searchParams.get("root") ?? "";
    response.end(JSON.stringify(aContext()));
  };
  await withServer(answer, async (socket) => {
    assert.deepEqual(await fetchContext(socket, "/home/ä b&c"), aContext());
  });
  assert.equal(asked, "/home/ä b&c");
});

test("no such project is no error, anything else is", async () => {
  let status = 404;
  const answer: RequestListener = (_, response) => response.writeHead(status).end("why");
  await withServer(answer, async (socket) => {
    assert.equal(await fetchContext(socket, "/p"), undefined);
    status = 500;
    await assert.rejects(fetchContext(socket, "/p"), /500: why/);
  });
  await assert.rejects(fetchContext("/nowhere/s", "/p"));
});

test("a file belongs to the innermost root", () => {
  assert.equal(rootOf("/p/q/a.py", ["/p", "/p/q", "/p/qq"]), "/p/q");
  assert.equal(rootOf("/pp/a.py", ["/p"]), undefined);
  assert.equal(rootOf("/a.py", ["/"]), "/");
});
