// What stock llama.cpp makes of a GGUF file, for the interop test.
//   node llama.mjs INSTALLATION JOB.json
// The job: {model, lora: file of an adapter or "", texts: [text], ids: [id], greedy: [id], count, logits: file, chats: [[{role, content}]]}.
// Prints {tokens: [[id] of each text], back: [each text again], next: [count ids after greedy], vocab,
// chats: [{ids, answer: [up to count ids, to the end of the turn]} of each conversation, by the file's own template]},
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
    contextSize: 256, threads: 1, flashAttention: false, experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32",
    ...(job.lora ? {lora: {adapters: [{filePath: job.lora, scale: 1}]}} : {})
});
const sequence = context.getSequence();
const withLogits = (id) => [id, {generateNext: {logits: true}}];
const rows = await sequence.controlledEvaluate(job.ids.map(withLogits));
const vocab = rows[0].next.logits.size;
const out = new Float32Array(rows.length * vocab);
rows.forEach((row, t) => row.next.logits.forEach((logit, id) => { out[t * vocab + id] = logit; }));
fs.writeFileSync(job.logits, out);

// The likeliest tokens after some, up to the end of the text or turn.
async function greedy(input, end) {
    await sequence.clearHistory();
    const next = [];
    while (next.length < job.count) {
        const results = await sequence.controlledEvaluate(input.map((id, i) => i === input.length - 1 ? withLogits(id) : id));
        const [id] = results.at(-1).next.logits.keys(); // sorted, the likeliest first
        next.push(id);
        if (end && model.isEogToken(id)) { break; }
        input = [id];
    }
    return next;
}
const next = await greedy(job.greedy, false);
const chats = [];
if (job.chats?.length) {
    const {Template} = await import(pathToFileURL(path.join(installation, "node_modules/@huggingface/jinja/dist/index.js")));
    const template = new Template(model.fileInfo.metadata.tokenizer.chat_template);
    for (const messages of job.chats) {
        const text = template.render({messages, add_generation_prompt: true, bos_token: model.tokens.bosString ?? ""});
        const ids = model.tokenize(text, true);
        chats.push({ids, answer: await greedy(ids, true)});
    }
}
console.log(JSON.stringify({tokens, back, next, vocab, chats}));
process.exit(0);
