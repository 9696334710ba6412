/** The packages as an app gets them. What is packed is `dist`, so build first. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { build } from "esbuild";

const SDK = join(import.meta.dirname, "../..");
const APP = `
  import { type Message, type Sendora, SendoraCloud, SendoraError } from "@sendora/web";
  import { SendoraCloud as Headless } from "@sendora/web/headless";
  const options = { apiKey: "pk_", apiUrl: "https://edge.example.com" };
  export const both: Sendora[] = [SendoraCloud.init(options), Headless.init(options)];
  export const titles = async () => (await both[0]!.messages.fetchActive()).map(({ title }: Message) => title);
  export const codeOf = (error: unknown) => (error instanceof SendoraError ? error.code : null);
  // @ts-expect-error: what is there has types, and is not just anything.
  both[0]!.messages.start("now");
`;
let app = "";

before(() => {
  app = mkdtempSync(join(tmpdir(), "sendora-app-"));
  npm("pack", "--workspaces", "--silent", "--pack-destination", app);
  for (const file of readdirSync(app)) {
    const folder = join(app, "node_modules/@sendora", file.includes("core") ? "core" : "web");
    mkdirSync(folder, { recursive: true });
    execFileSync("tar", ["-xzf", join(app, file), "-C", folder, "--strip-components=1"]);
  }
  writeFileSync(join(app, "package.json"), '{ "type": "module" }');
  writeFileSync(join(app, "app.ts"), APP);
});

after(() => rmSync(app, { recursive: true }));

/** The npm that runs the tests. */
function npm(...args: string[]): void {
  const script = process.env.npm_execpath;
  assert.ok(script, "Run this by `sdk/npm test`, or `sdk/npm exec`.");
  execFileSync(process.execPath, [script, ...args], { cwd: SDK, stdio: "pipe" });
}

async function bundled(contents: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: app },
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "error",
  });
  return outputFiles[0]!.text;
}

test("a package has what is built and how to use it, and no sources", () => {
  for (const name of ["core", "web"]) {
    assert.deepEqual(readdirSync(join(app, "node_modules/@sendora", name)).sort(), [
      "README.md",
      "dist",
      "package.json",
    ]);
  }
});

test("both entries can be imported where there is no window", () => {
  const code = `
    const [whole, headless] = [await import("@sendora/web"), await import("@sendora/web/headless")];
    console.log(typeof window, typeof whole.SendoraCloud.init, Object.keys(whole).join() === Object.keys(headless).join());
  `;
  const printed = execFileSync(process.execPath, ["--input-type=module", "--eval", code], { cwd: app });
  assert.equal(printed.toString(), "undefined function true\n");
});

for (const [module, moduleResolution] of [
  ["node16", "node16"],
  ["nodenext", "nodenext"],
  ["esnext", "bundler"],
]) {
  test(`types are found with moduleResolution ${moduleResolution}`, () => {
    const compilerOptions = { module, moduleResolution, target: "es2022", strict: true, types: [], noEmit: true };
    const config = join(app, `tsconfig.${moduleResolution}.json`);
    writeFileSync(config, JSON.stringify({ compilerOptions, files: ["app.ts"] }));
    execFileSync(process.execPath, [join(SDK, "node_modules/typescript/bin/tsc"), "--project", config]);
  });
}

test("an app that draws by itself has no renderer in its bundle", async () => {
  const use = "SendoraCloud.init({ apiKey: 'pk_', apiUrl: 'https://edge.example.com' });";
  const [whole, headless] = await Promise.all([
    bundled(`import { SendoraCloud } from "@sendora/web"; ${use}`),
    bundled(`import { SendoraCloud } from "@sendora/web/headless"; ${use}`),
  ]);
  assert.match(whole, /attachShadow/);
  assert.doesNotMatch(headless, /attachShadow|createElement/);
});

test("what is imported and not used leaves no renderer either", async () => {
  const text = await bundled('import { SendoraError } from "@sendora/web"; console.log(SendoraError.name);');
  assert.doesNotMatch(text, /attachShadow|sendBeacon/);
});
