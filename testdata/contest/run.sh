#!/bin/sh
# AdamW against Muon on the sources of the Go tree, each at its best rate of several, two seeds:
#   sh testdata/contest/run.sh 0.5M [STEPS]        # or 3M, 11M; default 600 steps of 2,048 tokens
# and Muon again with 0.7 and 0.5 of the tokens. BITNET is the program (build/bitnet), OUT the folder
# for the text and the sweeps (contest). What is there already is continued. The last lines are tables;
# every curve is in a trial's folder, for bitnet plot.
set -eu
size=${1:?"say which size: 0.5M, 3M or 11M"}
steps=${2:-600}
bitnet=${BITNET:-build/bitnet}
out=${OUT:-contest}

case $size in
0.5M) shape="128 384 2 4 2" ;;
3M) shape="256 768 4 4 2" ;;
11M) shape="384 1152 6 8 4" ;;
*) echo "there is no size $size: 0.5M, 3M or 11M" >&2; exit 2 ;;
esac
# shellcheck disable=SC2086 # a list
set -- $shape

mkdir -p "$out"
text=$out/go.txt
if ! [ -e "$text" ]; then
	(cd "$(go env GOROOT)/src" && find . -name '*.go' ! -name '*_test.go' ! -path '*/testdata/*' ! -path '*/vendor/*' ! -path './cmd/*' |
		LC_ALL=C sort | xargs cat) >"$text.new"
	mv "$text.new" "$text"
fi

# sweep NAME STEPS FLAGS...
sweep() {
	name=$size-$1 n=$2
	shift 2
	if ! [ -e "$out/sweeps/$name/results.json" ]; then
		"$bitnet" sweep --sweeps-dir "$out/sweeps" --name "$name" --exp text --data "text:$text" --num-steps "$n" --seeds 2 --seed 42 \
			--set model.vocab_size=1024 --set model.hidden_size="$hidden" --set model.intermediate_size="$ffn" --set model.num_hidden_layers="$layers" \
			--set model.num_attention_heads="$heads" --set model.num_key_value_heads="$kv" --set model.max_position_embeddings=128 \
			--set seq_len=128 --set batch_size=16 --set warmup_steps=50 \
			--set output.sample_interval=0 --set output.eval_interval=50 --set output.eval_samples=64 "$@"
	fi
}
hidden=$1 ffn=$2 layers=$3 heads=$4 kv=$5

sweep adamw "$steps" --set optimizer=adamw --over learning_rate=2e-3,4e-3,8e-3,1.6e-2,3.2e-2
sweep muon "$steps" --set optimizer=muon --over learning_rate=4e-3,8e-3,1.6e-2,3.2e-2
sweep muon-0.7 $((steps * 7 / 10)) --set optimizer=muon --over learning_rate=8e-3,1.6e-2,3.2e-2
sweep muon-0.5 $((steps / 2)) --set optimizer=muon --over learning_rate=8e-3,1.6e-2,3.2e-2
for name in adamw muon muon-0.7 muon-0.5; do
	echo
	echo "$size, $name:"
	"$bitnet" sweep "$out/sweeps/$size-$name" --results
done
