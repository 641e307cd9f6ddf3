#!/bin/sh
# How a ternary model learns that begins as a float model: with and without that one as its
# teacher (--teacher), and quantised gradually (train.quantize_ramp).
#
#	sh testdata/distill.sh BITNET FOLDER [SEED...]
#
# FOLDER gets everything: the bytes of Debian's license files, a float model of the Llama form
# that testdata/llama.py trains with PyTorch, and the runs. SEEDS are those of the runs, 1
# unless given. $PYTHON is a Python with PyTorch and numpy (/usr/bin/python3), $STEPS how many
# steps of 512 bytes a run has (400). What is there already is kept. Prints a Markdown table of
# losses over the 32,768 bytes of a file that nothing was trained on.
set -eu
bitnet=$1 dir=$2
shift 2
seeds=${*:-1}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-/usr/bin/python3} steps=${STEPS:-400}
mkdir -p "$dir"
cd "$dir"
if [ ! -e held.u16 ]; then
	# Every tenth license is held out.
	ls /usr/share/doc/*/copyright | awk 'NR % 10 { print > "train.txt"; next } { print > "held.txt" }'
	xargs cat <train.txt >train.bytes
	xargs cat <held.txt >held.all && head -c 32769 held.all >held.bytes
	"$python" "$here/llama.py" ids --out train.u16 train.bytes
	"$python" "$here/llama.py" ids --out held.tmp held.bytes
	mv held.tmp held.u16
fi
[ -e float ] || "$python" "$here/llama.py" train --data train.u16 --out float --hidden 64 --ffn 192 --layers 2 --seq 64 --steps 1500 --lr 4e-3 >float.log

# run NAME SEED FLAGS... trains a run, unless it is there, and writes its loss to NAME.SEED.loss.
run() {
	name=$1.$2 seed=$2
	shift 2
	[ -e "$name.loss" ] && return
	rm -rf "runs/$name"
	$bitnet train --exp simple --data tokens:train.u16 --run-id "$name" --seed "$seed" --num-steps "$steps" --batch-size 8 --grad-accum 1 --seq-len 64 \
		--lr 4e-3 --precision f32 --tuning off --log-interval 50 --eval-interval 0 --sample-interval 0 --checkpoint-interval 0 --checkpoint-minutes 0 "$@" >"$name.log"
	$bitnet eval "runs/$name" --data tokens:held.u16 >"$name.eval"
	sed -n 's/.*validation loss \([0-9.]*\).*/\1/p' "$name.eval" | head -n 1 >"$name.loss"
}

shape="--set vocab_size=256 --set hidden_size=64 --set intermediate_size=192 --set num_hidden_layers=2 --set num_attention_heads=4 --set num_key_value_heads=2"
quarter=$((steps / 4))
for seed in $seeds; do
	# shellcheck disable=SC2086 # the shape is a list of flags
	run scratch "$seed" $shape
	run float "$seed" --init float
	run teacher "$seed" --init float --teacher float
	run ramp "$seed" --init float --set quantize_ramp=$quarter
	run both "$seed" --init float --teacher float --set quantize_ramp=$quarter
	run only "$seed" --init float --teacher float --set teacher_weight=1
	# shellcheck disable=SC2086
	run scratchteacher "$seed" $shape --teacher float
done

row() {
	printf '| %s |' "$2"
	for seed in $seeds; do printf ' %s |' "$(cat "$1.$seed.loss")"; done
	printf '\n'
}
printf '| %s ternary steps |' "$steps"
for seed in $seeds; do printf ' seed %s |' "$seed"; done
printf '\n|---|'
for seed in $seeds; do printf -- '---|'; done
printf '\n'
row scratch "from scratch"
row scratchteacher "from scratch, with the float model as teacher"
row float "from the float model"
row teacher "from the float model, with it as teacher"
row only "the same, teacher_weight 1"
row ramp "from the float model, quantize_ramp $quarter"
row both "from the float model, with it as teacher, quantize_ramp $quarter"
