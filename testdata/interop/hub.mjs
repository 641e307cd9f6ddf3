// Pushes a folder with Hugging Face's own client for JavaScript, pulls a repository back, and prints
// the SHA-256 of what came as JSON.
//   node hub.mjs FOLDER URL TOKEN REPO DIR     (FOLDER has node_modules/@huggingface/hub)
// With DIR "" it only pulls.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

const [folder, hubUrl, accessToken, repo, dir] = process.argv.slice(2);
const resolve = createRequire(path.join(folder, "package.json")).resolve;
const hub = await import(pathToFileURL(resolve("@huggingface/hub")));
const about = { repo, accessToken, hubUrl };

if (dir) {
	await hub.createRepo({ ...about, private: true });
	await hub.uploadFiles({ ...about, commitTitle: "With Hugging Face's client", files: readdirSync(dir).map((name) => ({ path: name, content: new Blob([readFileSync(path.join(dir, name))]) })) });
}
const out = {};
for await (const f of hub.listFiles({ ...about, recursive: true })) {
	if (f.type !== "file") continue;
	const blob = await hub.downloadFile({ ...about, path: f.path });
	out[f.path] = createHash("sha256").update(Buffer.from(await blob.arrayBuffer())).digest("hex");
}
console.log(JSON.stringify(out));
