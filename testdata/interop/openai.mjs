// Asks a server of this project's with OpenAI's own client and prints what came back as JSON.
//   node openai.mjs FOLDER URL MODEL PROMPT     (FOLDER has node_modules/openai)
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import path from "node:path";

const [folder, url, model, prompt] = process.argv.slice(2);
const resolve = createRequire(path.join(folder, "package.json")).resolve;
const { default: OpenAI } = await import(pathToFileURL(resolve("openai")));
const client = new OpenAI({ baseURL: url + "/v1", apiKey: "none", maxRetries: 0 });

const out = { models: [], streamed: "", chat: "", chatStreamed: "" };
for await (const m of client.models.list()) out.models.push(m.id);
const whole = await client.completions.create({ model, prompt, temperature: 0 });
out.text = whole.choices[0].text;
out.finish = whole.choices[0].finish_reason;
out.tokens = whole.usage.completion_tokens;
for await (const c of await client.completions.create({ model, prompt, temperature: 0, stream: true }))
	out.streamed += c.choices[0]?.text ?? "";
const messages = [{ role: "user", content: prompt }];
const chat = await client.chat.completions.create({ model, messages, temperature: 0 });
out.chat = chat.choices[0].message.content;
const stream = await client.chat.completions.create({ model, messages, temperature: 0, stream: true, stream_options: { include_usage: true } });
for await (const c of stream) {
	out.chatStreamed += c.choices[0]?.delta?.content ?? "";
	if (c.usage) out.usage = c.usage.total_tokens;
}
out.stopped = (await client.completions.create({ model, prompt, temperature: 0, stop: whole.choices[0].text[4] })).choices[0].text;
const probs = await client.completions.create({ model, prompt, temperature: 0, logprobs: 2 });
out.logprobs = probs.choices[0].logprobs.token_logprobs;
const chatProbs = await client.chat.completions.create({ model, messages, temperature: 0, logprobs: true, top_logprobs: 2 });
out.chatLogprobs = chatProbs.choices[0].logprobs.content.map((c) => c.logprob);
out.top = chatProbs.choices[0].logprobs.content[0].top_logprobs.length;
out.streamedLogprobs = [];
for await (const c of await client.chat.completions.create({ model, messages, temperature: 0, logprobs: true, stream: true }))
	for (const p of c.choices[0]?.logprobs?.content ?? []) out.streamedLogprobs.push(p.logprob);
const both = await client.completions.create({ model, prompt: [prompt, prompt], temperature: 0, n: 2 });
out.same = both.choices.map((c) => c.text);
const left = await client.chat.completions.create({ model, messages, stream: true });
for await (const c of left) break; // the client leaves in the middle
try {
	await client.completions.create({ model: "another", prompt });
} catch (e) {
	out.refused = e.status;
}
console.log(JSON.stringify(out));
