// Bundles the page, with the fonts and icons that Grafana's components ask for, into a folder.
// node build.mjs OUT MODULES
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

// What Grafana's styles call the font for code.
const MONO = "L0xTDF4xlVMF-BfR8bXMIhJHg45mwgGEFl0_3vrtSM1J-gEPT5Ese6hmHSh0mQ.woff2";

const [out, modules] = process.argv.slice(2);
const { build } = createRequire(join(modules, "/"))("esbuild");

await build({
  entryPoints: [join(import.meta.dirname, "src/main.tsx")],
  outfile: join(out, "page.js"),
  bundle: true,
  define: { "process.env.NODE_ENV": '"production"' },
  format: "iife",
  jsx: "automatic",
  loader: { ".svg": "dataurl", ".woff2": "dataurl", ".ttf": "empty" },
  logLevel: "warning",
  minify: true,
  nodePaths: [modules],
  target: "es2022",
});
const assets = join(out, "public");
for (const [from, to] of [
  ["@grafana/ui/dist/public/img/icons", "build/img/icons"],
  ["inter-ui/web/Inter-Regular.woff2", "fonts/inter/Inter-Regular.woff2"],
  ["inter-ui/web/Inter-Medium.woff2", "fonts/inter/Inter-Medium.woff2"],
  ["inter-ui/web/Inter-Italic.woff2", "fonts/inter/Inter-Italic.woff2"],
  ["inter-ui/web/Inter-MediumItalic.woff2", "fonts/inter/Inter-MediumItalic.woff2"],
  ["@fontsource/roboto-mono/files/roboto-mono-latin-400-normal.woff2", `fonts/roboto/${MONO}`],
]) {
  mkdirSync(join(assets, to, ".."), { recursive: true });
  cpSync(join(modules, from), join(assets, to), { recursive: true });
}
writeFileSync(
  join(out, "index.html"),
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>Picture</title>
<script>window.__grafana_public_path__ = "public/";</script>
<link rel="stylesheet" href="page.css"><style>body { margin: 0 }</style>
<div id="root"></div><script src="page.js"></script></html>
`,
);
