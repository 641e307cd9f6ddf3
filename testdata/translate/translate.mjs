// Translates every kernel of a folder with naga: NAME.wgsl to NAME.hlsl (DX12) and NAME.metal.
// Prints one JSON line for each kernel and language: {"file", "language", "bytes"} or {..., "error"}.
//
//   node translate.mjs FOLDER_OF_NPM FOLDER_OF_KERNELS
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [, , modules, kernels] = process.argv;
const home = path.join(modules, "node_modules", "wgsl-wasm-transpiler-bundler");
const naga = await import(pathToFileURL(path.join(home, "wgsl_wasm_transpiler_bg.js")));
const wasm = fs.readFileSync(path.join(home, "wgsl_wasm_transpiler_bg.wasm"));
const { instance } = await WebAssembly.instantiate(wasm, { "./wgsl_wasm_transpiler_bg.js": naga });
naga.__wbg_set_wasm(instance.exports);
instance.exports.__wbindgen_start();

// naga writes no entry point in Metal without a table of buffers, which this package cannot be
// given. As a plain function, to which buffers are arguments, it writes the whole kernel.
function asFunction(source) {
  const entry = /@compute\s+@workgroup_size\(([^)]*)\)\s*fn main\(([^]*?)\)\s*\{/;
  const match = source.match(entry);
  if (!match) throw new Error("there is no entry point main");
  const plain = match[2].replace(/@builtin\(\w+\)\s*/g, "");
  return source.replace(entry, `fn kernel_body(${plain}) {`) + `\n@compute @workgroup_size(${match[1]})\nfn main() {}\n`;
}

for (const file of fs.readdirSync(kernels).filter((name) => name.endsWith(".wgsl")).sort()) {
  const source = fs.readFileSync(path.join(kernels, file), "utf8");
  for (const language of ["hlsl", "metal"]) {
    const line = { file, language };
    try {
      const text = naga.compileShader(language === "metal" ? asFunction(source) : source, language);
      fs.writeFileSync(path.join(kernels, file.replace(/wgsl$/, language)), text);
      line.bytes = text.length;
    } catch (e) {
      line.error = String(e?.message ?? e);
    }
    console.log(JSON.stringify(line));
  }
}
