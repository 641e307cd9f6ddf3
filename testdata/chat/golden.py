"""The ids that transformers and llama.cpp's server give to the conversations of
testdata/chat/golden, for testdata/chat/golden.sh.

    python3 golden.py transformers FORM_DIR CONVERSATIONS.json OUT.json
    python3 golden.py llama MODEL.gguf CONVERSATIONS.json OUT.json
"""
import json
import subprocess
import sys
import time
import urllib.request


def transformers(folder, talks):
    from transformers import AutoTokenizer
    tok = AutoTokenizer.from_pretrained(folder)
    return [tok.apply_chat_template(t, add_generation_prompt=True, tokenize=True, return_dict=False) for t in talks]


def llama(model, talks):
    port = 18741
    server = subprocess.Popen(["llama-server", "-m", model, "--jinja", "--port", str(port), "-c", "512", "-t", "1"],
                              stdout=sys.stderr, stderr=sys.stderr)

    def call(path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    try:
        for _ in range(100):
            try:
                call("/health")
                break
            except OSError:
                time.sleep(0.3)
        out = []
        for t in talks:
            prompt = call("/apply-template", {"messages": t})["prompt"]
            out.append(call("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})["tokens"])
        return out
    finally:
        server.terminate()
        server.wait()


program, path, talks, out = sys.argv[1:]
with open(talks, encoding="utf-8") as f:
    talks = json.load(f)
rows = {"transformers": transformers, "llama": llama}[program](path, talks)
with open(out, "w", encoding="utf-8") as f:
    f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")
