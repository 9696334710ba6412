/** Builds both packages: `node build.ts`. */

import { spawnSync } from "node:child_process";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { type BuildOptions, build, type Plugin, transform } from "esbuild";
import { minify } from "terser";

const folder = import.meta.dirname;
const { version } = JSON.parse(await readFile(`${folder}/web/package.json`, "utf8"));

/** A style sheet becomes its minified text, which the renderer puts into shadow roots. */
const cssAsText: Plugin = {
  name: "css-as-text",
  setup(builder) {
    builder.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(await readFile(path, "utf8"), {
        loader: "css",
        minify: true,
        target: "chrome123",
      });
      return { contents: code.trim(), loader: "text" };
    });
  },
};

const common: BuildOptions = {
  absWorkingDir: folder,
  bundle: true,
  target: "es2022",
  conditions: ["@sendora/source"],
  define: { SDK_VERSION: JSON.stringify(version) },
  plugins: [cssAsText],
  logLevel: "warning",
};

const modules: BuildOptions = { ...common, format: "esm", platform: "neutral" };

/** One file that makes `SendoraCloud` a global. */
async function buildScript(module: string, file: string): Promise<void> {
  const contents = `import { SendoraCloud } from "./${module}"; Object.assign(globalThis, { SendoraCloud });`;
  const { outputFiles } = await build({
    ...common,
    stdin: { contents, resolveDir: `${folder}/web/src` },
    format: "iife",
    minifySyntax: true,
    write: false,
  });
  const { code } = await minify(outputFiles[0]!.text, { ecma: 2020, compress: { passes: 3, unsafe_arrows: true } });
  await writeFile(`${folder}/web/dist/${file}`, code!);
}

for (const name of ["core", "web"]) {
  await rm(`${folder}/${name}/dist`, { recursive: true, force: true });
  await cp(`${folder}/../LICENSE`, `${folder}/${name}/dist/LICENSE`);
}
await Promise.all([
  build({ ...modules, entryPoints: ["core/src/index.ts"], outdir: "core/dist" }),
  build({
    ...modules,
    entryPoints: ["web/src/index.ts", "web/src/headless.ts"],
    outdir: "web/dist",
    splitting: true,
    chunkNames: "shared",
    external: ["@sendora/core"],
  }),
]);
await Promise.all([buildScript("index.ts", "sendora.js"), buildScript("headless.ts", "sendora-headless.js")]);

const declarations = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", "--build", "--force"], {
  cwd: folder,
  stdio: "inherit",
});
process.exit(declarations.status ?? 1);
