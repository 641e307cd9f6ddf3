"""Does what hub.mjs does with huggingface_hub, Hugging Face's own client for Python:
python3 hub.py URL TOKEN REPO DIR"""
import hashlib
import json
import os
import sys
import tempfile

url, token, repo, folder = sys.argv[1:5]
os.environ.update(HF_ENDPOINT=url, HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1", HF_HOME=tempfile.mkdtemp())
from huggingface_hub import HfApi, snapshot_download

api = HfApi(endpoint=url, token=token)
if folder:
    api.create_repo(repo, private=True)
    api.create_repo(repo, exist_ok=True)
    api.upload_folder(repo_id=repo, folder_path=folder, commit_message="With huggingface_hub")
out = {}
at = snapshot_download(repo, token=token, endpoint=url)
for parent, _, names in os.walk(at):
    for name in names:
        path = os.path.join(parent, name)
        with open(path, "rb") as f:
            out[os.path.relpath(path, at)] = hashlib.sha256(f.read()).hexdigest()
print(json.dumps(out))
