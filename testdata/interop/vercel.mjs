// Asks a server of this project's with Vercel's client and prints what came back as JSON.
//   node vercel.mjs FOLDER URL MODEL PROMPT     (FOLDER has node_modules/ai and @ai-sdk/openai-compatible)
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import path from "node:path";

const [folder, url, name, prompt] = process.argv.slice(2);
const resolve = createRequire(path.join(folder, "package.json")).resolve;
const load = (module) => import(pathToFileURL(resolve(module)));
const { generateText, streamText } = await load("ai");
const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
const server = createOpenAICompatible({ name: "bitnet", baseURL: url + "/v1", apiKey: "none", includeUsage: true });

const out = {};
for (const [kind, model] of [["chat", server.chatModel(name)], ["completion", server.completionModel(name)]]) {
	const ask = { model, temperature: 0, maxRetries: 0, maxOutputTokens: 20, prompt };
	const whole = await generateText(ask);
	const streamed = streamText(ask);
	let text = "";
	for await (const piece of streamed.textStream) text += piece;
	const stop = [...whole.text][4];
	const stopped = await generateText({ ...ask, stopSequences: [stop] });
	out[kind] = {
		text: whole.text, finish: whole.finishReason, tokens: whole.usage.outputTokens,
		streamed: text, streamedFinish: await streamed.finishReason, streamedTokens: (await streamed.usage).outputTokens,
		stop, stopped: stopped.text,
	};
}
try {
	await generateText({ model: server.chatModel("another"), prompt, maxRetries: 0 });
} catch (e) {
	out.refused = e.statusCode;
	out.message = e.message;
}
console.log(JSON.stringify(out));
