// What stock llama.cpp makes of a GGUF file, for the interop test.
//   node llama.mjs INSTALLATION JOB.json
// The job: {model, texts: [text], ids: [id], greedy: [id], count, logits: file}.
// Prints {tokens: [[id] of each text], back: [each text again], next: [count ids after greedy], vocab},
// and writes the logits after each of ids to the file, as little-endian float32 [ids, vocab].
import fs from "node:fs";
import path from "node:path";
import {pathToFileURL} from "node:url";

const [installation, jobFile] = process.argv.slice(2);
const job = JSON.parse(fs.readFileSync(jobFile, "utf8"));
const entry = path.join(installation, "node_modules/node-llama-cpp/dist/index.js");
const {getLlama} = await import(pathToFileURL(entry));

const llama = await getLlama({gpu: false, build: "never", progressLogs: false, logLevel: "error"});
const model = await llama.loadModel({modelPath: job.model, gpuLayers: 0});
const tokens = job.texts.map((text) => model.tokenize(text, true));
const back = tokens.map((ids) => model.detokenize(ids, true));

// Keys and values in full: the cache's own rounding is not what is compared.
const context = await model.createContext({
    contextSize: 256, threads: 1, flashAttention: false, experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32"
});
const sequence = context.getSequence();
const withLogits = (id) => [id, {generateNext: {logits: true}}];
const rows = await sequence.controlledEvaluate(job.ids.map(withLogits));
const vocab = rows[0].next.logits.size;
const out = new Float32Array(rows.length * vocab);
rows.forEach((row, t) => row.next.logits.forEach((logit, id) => { out[t * vocab + id] = logit; }));
fs.writeFileSync(job.logits, out);

await sequence.clearHistory();
const next = [];
let input = job.greedy;
while (next.length < job.count) {
    const results = await sequence.controlledEvaluate(input.map((id, i) => i === input.length - 1 ? withLogits(id) : id));
    const [id] = results.at(-1).next.logits.keys(); // sorted, the likeliest first
    next.push(id);
    input = [id];
}
console.log(JSON.stringify({tokens, back, next, vocab}));
process.exit(0);
