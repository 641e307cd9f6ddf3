#!/bin/sh
# Compares a swarm with synchronous training on the same number of tokens of real
# text, and a swarm of which a worker is killed in every third round:
#
#	sh testdata/swarm/compare.sh BITNET FOLDER PART [SEED]
#
# FOLDER gets everything (text, runs, logs). PART is text (makes the text from Go's
# own source; first), sync, swarm, kill or table. SEED is 1 unless given. A model of
# 35,000 parameters, 4 workers, 50 local steps, 1,000 steps of 4 x 512 tokens. The
# synchronous run does 4 micro-batches a step. $OUTER are flags of bitnet swarm serve.
set -eu
bitnet=$(realpath "$1") dir=$2 part=$3 seed=${4:-1}
here=$(dirname "$(realpath "$0")")
mkdir -p "$dir"
cd "$dir"
steps=${STEPS:-1000}

# config SAMPLES writes a configuration whose last evaluation has so many samples.
config() {
	cat <<-END
		name: compare
		model: {vocab_size: 320, hidden_size: 32, intermediate_size: 96, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1,
		        max_position_embeddings: 64, hidden_act: silu, rms_norm_eps: 1.0e-5, rope_theta: 10000}
		data: {source: "text:$PWD/text", dir: "$PWD/shards", held_out: 0.05, shuffle: true}
		train: {steps: $steps, batch_size: 8, seq_len: 64, grad_accum: 1, learning_rate: ${LR:-4.0e-3}, warmup_steps: 50, weight_decay: 0.1,
		        weight_decay_late: 0, beta1: 0.9, beta2: 0.95, eps: 1.0e-8, max_grad_norm: 1.0, seed: $seed, precision: f32}
		output: {log_interval: 50, eval_interval: 0, sample_interval: 0, checkpoint_interval: 0, checkpoint_minutes: 0, keep_checkpoints: 1,
		         eval_samples: $1, prompts: []}
	END
}

# worker NAME RUN starts a worker of the swarm in the background. Only w1 evaluates.
worker() {
	samples=1
	test "$1" != w1 || samples=1000
	config "$samples" >"$2.yaml"
	"$bitnet" train --config "$2.yaml" --swarm "nats://127.0.0.1:$port" --swarm-token secret --swarm-name "$1" --run-id "$2" >"$2.log" 2>&1 &
	eval "pid_$1=$!"
}

# rounds is how many rounds the meeting point has ended.
rounds() { grep -c '^[0-9:]* round ' "$serve.log" || true; }

# swarm NAME KILL runs 4 workers; with KILL=1 one is killed in every third round and
# joins again as a new worker.
swarm() {
	serve=$1
	port=$((4300 + 10 * seed + $2))
	rm -rf "$serve-state"
	"$bitnet" swarm serve --listen "127.0.0.1:$port" --dir "$serve-state" --token secret --local-steps 50 --even --silence 4s ${OUTER:-} >"$serve.log" 2>&1 &
	meeting=$!
	trap 'kill "$meeting" 2>/dev/null || true' EXIT
	until grep -q "^join with" "$serve.log" 2>/dev/null; do sleep 0.1; done
	for k in 1 2 3 4; do worker "w$k" "$serve-w$k"; done
	killed=0 turn=0
	while kill -0 "$pid_w1" 2>/dev/null; do
		now=$(rounds)
		if [ "$2" = 1 ] && [ "$now" -ge $((killed + 3)) ] && [ "$now" -lt $((steps / 50 - 2)) ]; then
			killed=$now turn=$((turn + 1)) k=$((turn % 3 + 2))
			eval "kill -9 \$pid_w$k" 2>/dev/null || true
			worker "w$k" "$serve-w$k-$turn"
		fi
		sleep 0.2
	done
	"$bitnet" swarm status "127.0.0.1:$port" --swarm-token secret >"$serve.status"
	"$bitnet" swarm status "127.0.0.1:$port" --swarm-token secret --json >"$serve.json"
	kill "$meeting"
	wait 2>/dev/null || true
	trap - EXIT
}

case $part in
text)
	sh "$here/text.sh" text
	config 1 >text.yaml
	"$bitnet" train --config text.yaml --num-steps 2 --run-id "text-$$" >text.log 2>&1
	ls text | wc -l
	;;
sync)
	config 1000 >"sync-$seed.yaml"
	"$bitnet" train --config "sync-$seed.yaml" --set grad_accum=4 --run-id "sync-$seed" >"sync-$seed.log" 2>&1
	;;
swarm) swarm "swarm-$seed" 0 ;;
kill) swarm "kill-$seed" 1 ;;
table)
	for f in sync-*.log swarm-*-w1.log kill-*-w1.log; do
		test -e "$f" || continue
		printf '%-16s %s\n' "${f%.log}" "$(grep -h "validation loss" "$f" | tail -n 1)"
	done
	;;
*) echo "unknown part $part" >&2 && exit 2 ;;
esac
