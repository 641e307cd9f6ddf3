// Compare the speed of a model here and in stock llama.cpp, in turns on the same machine.
//   node testdata/compare_llama.mjs [--bitnet build/bitnet] [--rounds 3] [--threads 2] [--type tq2_0]
//                                   [--prompt-tokens 128] [--tokens 64] [--batch 1,8] [--device NAME] MODEL
// MODEL is what bitnet export takes; it is exported to a GGUF file for llama.cpp, which runs on the
// CPU, as make interop installs it. Prints the medians of the rounds and of the ratios within them.
import {execFileSync} from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {fileURLToPath, pathToFileURL} from "node:url";
import {parseArgs} from "node:util";

const here = path.dirname(fileURLToPath(import.meta.url));
const text = (value) => ({type: "string", default: value});
const {values: set, positionals} = parseArgs({allowPositionals: true, options: {
    bitnet: text(path.join(here, "../build/bitnet")), rounds: text("3"), threads: text(String(os.availableParallelism?.() ?? os.cpus().length)),
    type: text(""), "prompt-tokens": text("128"), tokens: text("64"), batch: text("1,8"), device: text("")
}});
if (positionals.length !== 1) {
    console.error("say which model: a run, a checkpoint or a model directory with a tokenizer");
    process.exit(2);
}
const batches = set.batch.split(",").map(Number);
const promptTokens = Number(set["prompt-tokens"]);
const newTokens = Number(set.tokens);

const cache = process.env.XDG_CACHE_HOME || path.join(os.homedir(), process.platform === "darwin" ? "Library/Caches" : ".cache");
const install = fs.readFileSync(path.join(here, "interop/install.sh"), "utf8");
const installation = process.env.BITNET_INTEROP || path.join(cache, "bitnet", `interop-${/^version=(.*)$/m.exec(install)[1]}`);
const entry = path.join(installation, "node_modules/node-llama-cpp/dist/index.js");
if (!fs.existsSync(entry)) {
    console.error("llama.cpp is not installed: run sh testdata/interop/install.sh");
    process.exit(1);
}

const dir = fs.mkdtempSync(path.join(os.tmpdir(), "bitnet-llama-"));
process.on("exit", () => fs.rmSync(dir, {recursive: true, force: true}));
const file = path.join(dir, "model.gguf");
execFileSync(set.bitnet, ["export", positionals[0], "--format", "gguf", "--output", file, "--force", ...(set.type ? ["--type", set.type] : [])],
    {stdio: ["ignore", "inherit", "inherit"]});

const {getLlama} = await import(pathToFileURL(entry));
const llama = await getLlama({gpu: false, build: "never", progressLogs: false, logLevel: "error", maxThreads: Number(set.threads)});
const model = await llama.loadModel({modelPath: file, gpuLayers: 0});

const median = (list) => list.slice().sort((a, b) => a - b)[Math.floor(list.length / 2)];

// Tokens a second of n sequences together, as bitnet bench generate counts them.
async function measureLlama(n) {
    const context = await model.createContext({
        contextSize: promptTokens + newTokens + 8, sequences: n, batchSize: Math.min(512, n * promptTokens), threads: Number(set.threads)
    });
    const sequences = Array.from({length: n}, () => context.getSequence());
    const prompts = sequences.map((_, i) => Array.from({length: promptTokens}, (_, t) => 1 + (7919 * (t + 1) + 104729 * i) % 250));
    const write = async (count) => {
        await Promise.all(sequences.map((s) => s.clearHistory()));
        let began = performance.now();
        await Promise.all(sequences.map((s, i) => s.evaluateWithoutGeneratingNewTokens(prompts[i])));
        const prompt = performance.now() - began;
        const writers = sequences.map((s) => s.evaluate([5], {temperature: 0, yieldEogToken: true}));
        const steps = [];
        for (let t = 0; t < count; t++) {
            began = performance.now();
            await Promise.all(writers.map((w) => w.next()));
            steps.push(performance.now() - began);
        }
        await Promise.all(writers.map((w) => w.return()));
        return {prompt, step: median(steps)};
    };
    await write(2);
    const r = await write(newTokens);
    await context.dispose();
    return {prompt: 1e3 * n * promptTokens / r.prompt, next: 1e3 * n / r.step};
}

const rounds = [];
console.log(`load ${os.loadavg()[0].toFixed(1)}; ${set.rounds} rounds, in turns; ${set.threads} threads`);
for (let round = 0; round < Number(set.rounds); round++) {
    const ours = JSON.parse(execFileSync(set.bitnet, ["bench", "generate", positionals[0], "--json", "--repeat", "1", "--batch", set.batch,
        "--prompt-tokens", String(promptTokens), "--tokens", String(newTokens), "--device", set.device], {stdio: ["ignore", "pipe", "inherit"]}));
    const device = ours.result.device;
    for (const run of ours.result.runs) {
        rounds.push({device, n: run.batch, ours: {prompt: run.prompt_tokens_per_sec, next: run.tokens_per_sec}, theirs: await measureLlama(run.batch)});
    }
}
for (const n of batches) {
    const of = rounds.filter((r) => r.n === n);
    for (const [what, name] of [["prompt", "prompt"], ["next", "new tokens"]]) {
        const ours = median(of.map((r) => r.ours[what]));
        const theirs = median(of.map((r) => r.theirs[what]));
        const ratios = of.map((r) => r.ours[what] / r.theirs[what]);
        console.log(`${name}, ${n} at once: bitnet on ${of[0].device} ${ours.toFixed(1)}, llama.cpp on the CPU ${theirs.toFixed(1)} tokens/s; ` +
            `bitnet is ${median(ratios).toFixed(2)} times as fast (${ratios.map((r) => r.toFixed(2)).join(", ")})`);
    }
}
console.log(`load ${os.loadavg()[0].toFixed(1)}`);
process.exit(0);
