// A browser with VS Code in it, for tests: one JSON object a line comes in, {"do": ..., ...}, and one goes out for each.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [packages, executablePath, profile] = process.argv.slice(2);
const { chromium } = createRequire(`${packages}/`)("playwright-core");

const WAIT = { timeout: 120_000 };
const GHOST = '[class*="ghost-text"]';

/** Runs in the page: the elements' texts, lines from the top down. Further lines stand before the first in the document. */
function inReadingOrder(elements) {
  const placed = elements.map((element) => ({ box: element.getBoundingClientRect(), text: element.textContent }));
  const line = ({ box }) => Math.round((box.top + box.bottom) / 20);
  return placed.sort((a, b) => line(a) - line(b) || a.box.left - b.box.left).map(({ text }) => text);
}

const browser = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
  viewport: { width: 1200, height: 700 },
  timeout: 120_000,
});
const page = browser.pages()[0] ?? (await browser.newPage());

const actions = {
  open: ({ url }) => page.goto(url, WAIT),
  /** Wait for something that matches a CSS selector, and the text in it. */
  wait: async ({ selector }) => {
    const found = page.locator(selector).first();
    await found.waitFor(WAIT);
    return found.textContent();
  },
  click: ({ selector }) => page.locator(selector).first().click(WAIT),
  hover: ({ selector }) => page.locator(selector).first().hover(WAIT),
  type: ({ text }) => page.keyboard.type(text),
  press: ({ key }) => page.keyboard.press(key),
  /** Wait for ghost text, and what it says. */
  ghost: async () => {
    await page.locator(GHOST).first().waitFor(WAIT);
    const texts = await page.locator(GHOST).evaluateAll(inReadingOrder);
    return texts.join("").replaceAll("\u00a0", " ");
  },
  /** Wait until nothing matches a CSS selector: no ghost text, if none is given. */
  gone: ({ selector = GHOST }) => page.locator(selector).first().waitFor({ ...WAIT, state: "detached" }).then(() => true),
  /** Wait until the text of the editor, as it is shown, contains `text`. */
  shows: ({ text }) =>
    page.waitForFunction(
      (wanted) => document.querySelector(".view-lines")?.textContent?.replaceAll("\u00a0", " ").includes(wanted),
      text,
      WAIT,
    ).then(() => true),
  /** Wait until what matches `selector` has another text than `text`. */
  leaves: ({ selector, text }) =>
    page.waitForFunction(([where, old]) => document.querySelector(where)?.textContent !== old, [selector, text], WAIT).then(() => true),
  /** Wait for something in the view of the model's context, and the text in it. */
  framed: async ({ selector }) => {
    const found = page.frameLocator("iframe.webview").frameLocator("#active-frame").locator(selector).first();
    await found.waitFor(WAIT);
    return found.textContent();
  },
  screenshot: ({ path, full }) => page.screenshot({ path, fullPage: full !== "no" }),
  /** The value of an expression, or of the promise that it is, as a text. */
  evaluate: ({ script }) => page.evaluate(script),
  look: ({ scheme, width, height = "900" }) =>
    page.emulateMedia({ colorScheme: scheme }).then(() => page.setViewportSize({ width: Number(width), height: Number(height) })),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...params } = JSON.parse(line);
  try {
    const result = await actions[name](params);
    console.log(JSON.stringify({ result: typeof result === "string" || result === true ? result : null }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error) }));
  }
}
await browser.close();
