package modelfile

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// LoRA describes adapters of low rank: a frozen projection w [out, in] becomes
// w + alpha/r b a, with a [r, in] and b [out, r] (Hu et al., arXiv 2106.09685). The
// adapter sees the input of the projection before it is quantised, as PEFT's does.
type LoRA struct {
	Rank    int
	Alpha   float64
	Targets []string // of LoRATargets, in their order
}

// LoRATargets are the projections of a layer that can have an adapter.
var LoRATargets = []string{"q", "k", "v", "o", "gate", "up", "down"}

// mostRank bounds the rank; no projection of a model has more.
const mostRank = 1 << 16

// ParseLoRA reads a list such as r=16,alpha=32,targets=q,v. Without alpha it is twice
// the rank; without targets, or with "all", every projection has an adapter.
func ParseLoRA(text string) (LoRA, error) {
	l := LoRA{Targets: LoRATargets}
	wrong := func(format string, args ...any) (LoRA, error) {
		return LoRA{}, fmt.Errorf("%q: %s; write it as r=16,alpha=32,targets=all", text, fmt.Sprintf(format, args...))
	}
	alpha := math.NaN()
	var targets []string
	key := ""
	for _, item := range strings.Split(text, ",") {
		value := item
		if name, v, ok := strings.Cut(item, "="); ok {
			key, value = strings.TrimSpace(name), v
		}
		value = strings.TrimSpace(value)
		var err error
		switch key {
		case "r":
			l.Rank, err = strconv.Atoi(value)
		case "alpha":
			alpha, err = strconv.ParseFloat(value, 64)
		case "targets":
			targets = append(targets, value)
		case "":
			return wrong("%q does not say what it is", item)
		default:
			return wrong("there is no value %q", key)
		}
		if err != nil {
			return wrong("%s is %q, which is not a number", key, value)
		}
		if key != "targets" {
			key = "" // no list
		}
	}
	if l.Rank < 1 || l.Rank > mostRank {
		return wrong("r is %d: it must be between 1 and %d", l.Rank, mostRank)
	}
	l.Alpha = alpha
	if math.IsNaN(alpha) {
		l.Alpha = 2 * float64(l.Rank)
	}
	if !(l.Alpha > 0 && l.Alpha < 1e6) {
		return wrong("alpha is %g: it must be positive", l.Alpha)
	}
	if len(targets) > 0 && !slices.Equal(targets, []string{"all"}) {
		for _, t := range targets {
			if !slices.Contains(LoRATargets, t) {
				return wrong("there is no target %q: choose all, or some of %s", t, strings.Join(LoRATargets, ", "))
			}
		}
		l.Targets = inOrder(targets)
	}
	return l, nil
}

// inOrder is a list of targets in their usual order, each once.
func inOrder(targets []string) []string {
	var out []string
	for _, t := range LoRATargets {
		if slices.Contains(targets, t) {
			out = append(out, t)
		}
	}
	return out
}

// String is what ParseLoRA reads.
func (l LoRA) String() string {
	targets := strings.Join(l.Targets, ",")
	if len(l.Targets) == len(LoRATargets) {
		targets = "all"
	}
	return fmt.Sprintf("r=%d,alpha=%g,targets=%s", l.Rank, l.Alpha, targets)
}

// Scale is what the product of the adapter is multiplied by.
func (l LoRA) Scale() float64 { return l.Alpha / float64(l.Rank) }

// Adapts reports whether a projection has an adapter, by the name of its weight.
func (l LoRA) Adapts(projection string) bool {
	_, name, _ := strings.Cut(strings.TrimPrefix(projection, "model.layers."), ".")
	_, name, _ = strings.Cut(name, ".") // self_attn or mlp
	return slices.Contains(l.Targets, strings.TrimSuffix(name, "_proj.weight"))
}

// AdapterNames are PEFT's names of the two matrices of a projection's adapter.
func AdapterNames(projection string) (a, b string) {
	module := "base_model.model." + strings.TrimSuffix(projection, ".weight")
	return module + ".lora_A.weight", module + ".lora_B.weight"
}
