#!/bin/sh
# AdamW against Muon on the sources of the Go tree, each at its best rate of several, two seeds:
#   sh testdata/contest/run.sh 0.5M [STEPS]        # or 3M, 11M; default 600 steps of 2,048 tokens
# and Muon again with 0.7 and 0.5 of the tokens. BITNET is the program (build/bitnet), OUT the folder
# for the text and the sweeps (contest). The same command continues what was stopped. Each sweep ends
# with its table; every curve is in a trial's folder, for bitnet plot.
set -eu
size=${1:?"say which size: 0.5M, 3M or 11M"}
steps=${2:-600}
bitnet=${BITNET:-build/bitnet}
out=${OUT:-contest}

case $size in
0.5M) hidden=128 ffn=384 layers=2 heads=4 kv=2 ;;
3M) hidden=256 ffn=768 layers=4 heads=4 kv=2 ;;
11M) hidden=384 ffn=1152 layers=6 heads=8 kv=4 ;;
*) echo "there is no size $size: 0.5M, 3M or 11M" >&2; exit 2 ;;
esac

mkdir -p "$out"
text=$out/go.txt
if ! [ -e "$text" ]; then
	(cd "$(go env GOROOT)/src" && find . -name '*.go' ! -name '*_test.go' ! -path '*/testdata/*' ! -path '*/vendor/*' ! -path './cmd/*' |
		LC_ALL=C sort | xargs cat) >"$text.new"
	mv "$text.new" "$text"
fi

# sweep NAME STEPS FLAGS...; one that is complete only prints its table
sweep() {
	name=$size-$1 n=$2
	shift 2
	echo "$name:"
	"$bitnet" sweep --sweeps-dir "$out/sweeps" --name "$name" --exp text --data "text:$text" --num-steps "$n" --seeds 2 --seed 42 \
		--set model.vocab_size=1024 --set model.hidden_size="$hidden" --set model.intermediate_size="$ffn" --set model.num_hidden_layers="$layers" \
		--set model.num_attention_heads="$heads" --set model.num_key_value_heads="$kv" --set model.max_position_embeddings=128 \
		--set seq_len=128 --set batch_size=16 --set warmup_steps=50 \
		--set output.sample_interval=0 --set output.eval_interval=50 --set output.eval_samples=64 "$@"
	echo
}

sweep adamw "$steps" --set optimizer=adamw --over learning_rate=2e-3,4e-3,8e-3,1.6e-2,3.2e-2
sweep muon "$steps" --set optimizer=muon --over learning_rate=4e-3,8e-3,1.6e-2,3.2e-2
sweep muon-0.7 $((steps * 7 / 10)) --set optimizer=muon --over learning_rate=8e-3,1.6e-2,3.2e-2
sweep muon-0.5 $((steps / 2)) --set optimizer=muon --over learning_rate=8e-3,1.6e-2,3.2e-2
