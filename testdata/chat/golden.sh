#!/bin/sh
# Makes the ids in testdata/chat/golden again, with transformers and llama.cpp of Debian sid in
# a folder of its own (1.5 GB). It needs root, debootstrap, and build/bitnet.
#   go test ./bitnet/infer -run TestChatGoldens -update    (only if a tokenizer is to change)
#   make build && sh testdata/chat/golden.sh FOLDER
set -e
sid=${1:?give a folder for Debian sid}
here=$(cd "$(dirname "$0")" && pwd)
bitnet=$here/../../build/bitnet
[ -x "$sid/usr/bin/python3" ] || debootstrap --variant=minbase sid "$sid"
chroot "$sid" sh -c 'command -v llama-server >/dev/null && python3 -c "import transformers" 2>/dev/null' ||
	chroot "$sid" apt-get install -y --no-install-recommends python3-transformers python3-jinja2 llama.cpp-tools
work=$sid/tmp/chat-golden
rm -rf "$work"
mkdir -p "$work"
cp -r "$here"/golden/* "$here/golden.py" "$work"
echo '{"instruction": "a", "output": "b"}
{"instruction": "c", "output": "d"}' > "$work/talks.jsonl"
for form in chatml llama3 role; do
	chroot "$sid" python3 /tmp/chat-golden/golden.py transformers "/tmp/chat-golden/$form" /tmp/chat-golden/conversations.json /tmp/chat-golden/out.json
	cp "$work/out.json" "$here/golden/$form/transformers.json"
	# Any weights will do: only the tokenizer is asked.
	(cd "$work" && "$bitnet" train --exp chat --quiet --run-id "$form" --tokenizer "$here/golden/$form" --data talks.jsonl --num-steps 1 \
		--batch-size 1 --seq-len 64 --set vocab_size=512 --set hidden_size=256 --set intermediate_size=256 --set num_hidden_layers=1 \
		--set keep_best=false --set held_out=0 --eval-interval 0)
	(cd "$work" && "$bitnet" export "$form" --format gguf -o "$form.gguf" --type f32)
	chroot "$sid" python3 /tmp/chat-golden/golden.py llama "/tmp/chat-golden/$form.gguf" /tmp/chat-golden/conversations.json /tmp/chat-golden/out.json
	cp "$work/out.json" "$here/golden/$form/llama.json"
done
rm -rf "$work"
