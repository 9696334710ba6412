/** Builds both packages: `node build.ts`. */

import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { type BuildOptions, build, type Plugin, transform } from "esbuild";

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
  build({
    ...common,
    entryPoints: ["web/src/script.ts"],
    outfile: "web/dist/sendora.js",
    format: "iife",
    minify: true,
  }),
]);

const declarations = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", "--build"], {
  cwd: folder,
  stdio: "inherit",
});
process.exit(declarations.status ?? 1);
