package runs

// Key is a number of a metrics line.
//
// A new metric takes three places: its constant here, its row in the table
// below, and a call of Metrics.Set where the trainer measures it. The log,
// status, plot, the live page and TensorBoard read the table.
type Key int

const (
	stepKey Key = iota // finished steps: Metrics.Step
	Loss
	LossMean
	Divergence
	GradNorm
	GradNormEmbedding
	GradNormNorms
	GradNormAttention
	GradNormFeedForward
	NoiseTokens
	LR
	WeightDecay
	StepTokens
	Ramp
	StepTimeMS
	TokensPerSec
	TokensSeen
	Memory
	Ranks
	TokensPerSecRank
	ExchangeShare
	SlowestRank
	numKeys
)

// A set of keys is a bit mask of 32 bits, with one bit for the ternary shares.
const _ = uint(31 - numKeys)

// Metric describes a number of a metrics line to its readers.
type Metric struct {
	Name   string // key in metrics.jsonl
	Title  string // what people call it
	Unit   string // of the number, where Format does not write it
	Format Format
	Panel  Panel   // the chart that draws it
	Spread Key     // the metric whose lowest and highest values the live page shades behind it; none for 0
	Tag    string  // in TensorBoard
	Scale  float64 // of the value in TensorBoard; 0 for 1
	Status StatusLine
	Card   bool // on the live page: shown in a run's card
	Device bool // on the live page: shown under "Device and speed"
	// Compare says that bitnet plot --compare lists it at the last common step.
	Compare bool
}

// Panel is a chart. Metrics whose panels have the same title share one chart,
// which is drawn as the first of them says.
type Panel struct {
	Title    string // "" for a metric that is not drawn
	FromZero bool   // the vertical axis begins at 0; others are logarithmic where values differ tenfold
	Smooth   bool   // may be smoothed
	Score    string // name of a score of evaluations that is drawn with it, dotted
}

// StatusLine says where bitnet status shows a metric.
type StatusLine struct {
	Label  string // of the line; metrics with the same label share it. "" for a metric that is not shown
	Text   string // with %s for the number
	Median bool   // shows the median of the last lines instead of the last value
}

// table describes every metric, in the order of a line of metrics.jsonl.
var table = [numKeys]Metric{
	stepKey: {Name: "step", Title: "step"},
	Loss: {
		Name: "loss", Title: "loss of the last step", Unit: "nats", Format: Plain, Tag: "train/loss",
	},
	LossMean: {
		Name: "loss_mean", Title: "loss", Unit: "nats", Format: Plain, Tag: "train/loss_mean", Spread: Loss,
		Panel:  Panel{Title: "loss", Smooth: true, Score: ValidationLoss},
		Status: StatusLine{Label: "loss", Text: "%s"}, Card: true, Compare: true,
	},
	Divergence: { // only of runs with a teacher
		Name: "divergence", Title: "divergence from the teacher", Unit: "nats", Format: Plain, Tag: "train/divergence",
		Panel:  Panel{Title: "divergence from the teacher", Smooth: true},
		Status: StatusLine{Label: "loss", Text: "divergence from the teacher %s"}, Compare: true,
	},
	GradNorm: {
		Name: "grad_norm", Title: "gradient norm", Format: Plain, Tag: "train/grad_norm",
		Panel:  Panel{Title: "gradient norm", Smooth: true},
		Status: StatusLine{Label: "settings", Text: "gradient norm %s"},
	},
	GradNormEmbedding: { // these four only where groups are clipped by themselves
		Name: "grad_norm_embedding", Title: "embedding", Format: Plain, Tag: "train/grad_norm_embedding",
		Panel: Panel{Title: "gradient norm by group", Smooth: true},
	},
	GradNormNorms: {
		Name: "grad_norm_norms", Title: "norms", Format: Plain, Tag: "train/grad_norm_norms",
		Panel: Panel{Title: "gradient norm by group", Smooth: true},
	},
	GradNormAttention: {
		Name: "grad_norm_attention", Title: "attention", Format: Plain, Tag: "train/grad_norm_attention",
		Panel: Panel{Title: "gradient norm by group", Smooth: true},
	},
	GradNormFeedForward: {
		Name: "grad_norm_feed_forward", Title: "feed-forward", Format: Plain, Tag: "train/grad_norm_feed_forward",
		Panel: Panel{Title: "gradient norm by group", Smooth: true},
	},
	NoiseTokens: { // only of runs that measure it
		Name: "noise_tokens", Title: "gradient noise scale", Unit: "tokens", Format: Short, Tag: "train/noise_tokens",
		Panel:  Panel{Title: "gradient noise scale (tokens)"},
		Status: StatusLine{Label: "settings", Text: "noise scale %s tokens"},
	},
	LR: {
		Name: "lr", Title: "learning rate", Format: Plain, Tag: "train/learning_rate",
		Panel:  Panel{Title: "learning rate", FromZero: true},
		Status: StatusLine{Label: "settings", Text: "learning rate %s"},
	},
	WeightDecay: {
		Name: "wd", Title: "weight decay", Format: Plain, Tag: "train/weight_decay",
		Status: StatusLine{Label: "settings", Text: "weight decay %s"},
	},
	StepTokens: { // only of runs whose steps grow
		Name: "step_tokens", Title: "tokens per step", Format: Short, Tag: "train/step_tokens",
		Panel:  Panel{Title: "tokens per step", FromZero: true},
		Status: StatusLine{Label: "settings", Text: "%s tokens per step"},
	},
	Ramp: { // only of runs that quantise gradually
		Name: "quantize_ramp", Title: "share of quantisation", Format: Percent, Tag: "train/quantize_ramp",
		Panel:  Panel{Title: "share of quantisation", FromZero: true},
		Status: StatusLine{Label: "settings", Text: "%s quantised"},
	},
	StepTimeMS: {
		Name: "step_time_ms", Title: "time per step", Format: Millis, Tag: "speed/step_time_ms",
		Status: StatusLine{Label: "speed", Text: "%s per step", Median: true}, Device: true,
	},
	TokensPerSec: {
		Name: "tokens_per_sec", Title: "speed", Unit: "tokens/s", Format: Plain, Tag: "speed/tokens_per_sec",
		Panel:  Panel{Title: "speed", FromZero: true, Smooth: true},
		Status: StatusLine{Label: "speed", Text: "%s tokens/s", Median: true}, Card: true, Device: true, Compare: true,
	},
	TokensSeen: {
		Name: "tokens_seen", Title: "tokens seen", Format: Short, Tag: "train/tokens_seen",
		Status: StatusLine{Label: "speed", Text: "%s tokens seen"}, Card: true,
	},
	Memory: {
		Name: "device_memory_bytes", Title: "device memory", Format: Bytes, Tag: "speed/device_memory_mib", Scale: 1. / (1 << 20),
		Status: StatusLine{Label: "memory", Text: "%s on the device"}, Card: true, Device: true,
	},
	Ranks: {
		Name: "ranks", Title: "ranks", Format: Plain, Tag: "ranks/ranks",
		Status: StatusLine{Label: "ranks", Text: "%s ranks"}, Device: true,
	},
	TokensPerSecRank: {
		Name: "tokens_per_sec_rank", Title: "speed of a rank", Unit: "tokens/s", Format: Plain, Tag: "ranks/tokens_per_sec",
		Status: StatusLine{Label: "ranks", Text: "%s tokens/s each", Median: true}, Device: true,
	},
	ExchangeShare: {
		Name: "exchange_share", Title: "share of time spent exchanging", Format: Percent, Tag: "ranks/exchange_share",
		Panel:  Panel{Title: "share of time spent exchanging", FromZero: true, Smooth: true},
		Status: StatusLine{Label: "ranks", Text: "%s of the time spent exchanging", Median: true}, Device: true,
	},
	SlowestRank: {
		Name: "slowest_rank", Title: "slowest rank", Format: Plain, Tag: "ranks/slowest",
		Status: StatusLine{Label: "ranks", Text: "rank %s waits least"}, Device: true,
	},
}

// String is the metric's key in metrics.jsonl.
func (k Key) String() string { return table[k].Name }

// Metric is the metric's row of the table.
func (k Key) Metric() Metric { return table[k] }

// Keys lists all metrics in the order of the table.
func Keys() []Key {
	keys := make([]Key, 0, numKeys-1)
	for k := stepKey + 1; k < numKeys; k++ {
		keys = append(keys, k)
	}
	return keys
}

// Chart is a panel with the metrics that are drawn in it.
type Chart struct {
	Panel
	Keys []Key
}

// Charts lists the panels in the order of the table.
func Charts() []Chart {
	var list []Chart
	at := map[string]int{}
	for _, k := range Keys() {
		p := table[k].Panel
		if p.Title == "" {
			continue
		}
		i, ok := at[p.Title]
		if !ok {
			i, at[p.Title] = len(list), len(list)
			list = append(list, Chart{Panel: p})
		}
		list[i].Keys = append(list[i].Keys, k)
	}
	return list
}

// Metrics is a line of logs/metrics.jsonl.
type Metrics struct {
	Step    int64 // finished steps
	values  [numKeys]float64
	set     uint32                // bit k: values[k] is there
	Ternary map[string][3]float64 // shares of -1, 0 and +1 by projection; not in every line
}

// Set adds a number to the line.
func (m *Metrics) Set(k Key, v float64) {
	m.values[k] = v
	m.set |= 1 << k
}

// Get is a number of the line, or 0 if the line does not have it.
func (m *Metrics) Get(k Key) float64 { return m.values[k] }

// Has reports whether the line has a number.
func (m *Metrics) Has(k Key) bool { return m.set>>k&1 != 0 }
