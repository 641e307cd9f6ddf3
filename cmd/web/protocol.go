package main

import (
	"bitnet/bitnet/infer"
	"bitnet/bitnet/runs"
)

// request is what every request may have; the rest of it is decoded as what
// Do takes.
type request struct {
	ID    int    `json:"id"`
	Do    string `json:"do"`
	Of    int    `json:"of"`    // of stop: the id of a request
	Run   string `json:"run"`   // of run, remove, download, open and think
	Form  string `json:"form"`  // of download
	Moves string `json:"moves"` // of think: the cells 1 to 9 in the order of the moves, "5137"
	Name  string `json:"name"`  // of upload
	Path  string `json:"path"`  // of upload: the folder in which the worker has put the files
}

// Upload is a file that the visitor dropped: part of a model's folder, a zip of
// one, a GGUF file or text. Path is its path in the folder that was dropped, or
// its name. The worker's JavaScript writes the files into the file system; the
// visitor's data stays on this machine.
//
//	files: [{path: "tokenizer.json", file: File}]
type Upload struct {
	Path string `json:"path"`
}

// Ready says that the worker takes requests.
type Ready struct {
	Version string  `json:"version"` // of bitnet
	Storage Storage `json:"storage"`
	// Adapter is nil where there is none; Problem says then what helps. What
	// needs no GPU works without: runs, upload, download, remove.
	Adapter *Adapter `json:"adapter"`
	Problem string   `json:"problem,omitempty"`
}

// Failed says why the worker cannot be used.
//
//	kind      text says
//	tab       another tab of this site holds the runs: close it
//	storage   the browser refuses storage
//	program   the program could not be loaded, or it crashed
type Failed struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// Storage is where runs are kept. Usage and quota are in bytes, 0 if unknown.
type Storage struct {
	Kind  string `json:"kind"` // "opfs", or "memory" where the browser keeps nothing: a reload loses the runs
	Usage int64  `json:"usage"`
	Quota int64  `json:"quota"`
}

// Adapter is the GPU.
type Adapter struct {
	Name     string   `json:"name"`
	Driver   string   `json:"driver"`
	Kind     string   `json:"kind"` // "discrete GPU", "integrated GPU", "CPU", "other"
	Features []string `json:"features"`
	// Subgroups are the smallest and the largest size, 0 if not reported.
	Subgroups [2]int     `json:"subgroups"`
	Matrices  []string   `json:"matrices"` // of matrix units: "16x16x16 f16 to f32"
	Limits    [][]string `json:"limits"`   // pairs of what and how much, to show
}

// Schema describes metrics, charts and experiments, so that the page knows none
// by its name.
type Schema struct {
	Metrics     []Metric     `json:"metrics"`
	Charts      []Chart      `json:"charts"`
	Experiments []Experiment `json:"experiments"`
	Sampling    any          `json:"sampling"` // the default of Talk.Sampling
}

// Metric is a row of the table of metrics, as the live page of bitnet dash has it.
type Metric struct {
	Key    string      `json:"key"` // in a line of metrics
	Title  string      `json:"title"`
	Unit   string      `json:"unit,omitempty"`
	Format runs.Format `json:"format"`
	Card   bool        `json:"card,omitempty"`
	Device bool        `json:"device,omitempty"`
}

// Chart is a panel with its curves.
type Chart struct {
	Title    string      `json:"title"`
	Unit     string      `json:"unit,omitempty"`
	Format   runs.Format `json:"format"`
	FromZero bool        `json:"from_zero,omitempty"`
	Smooth   bool        `json:"smooth,omitempty"`
	Score    string      `json:"score,omitempty"` // of evaluations, drawn with it
	Curves   []Curve     `json:"curves"`
}

// Curve is a metric in a chart.
type Curve struct {
	Key    string `json:"key"`
	Title  string `json:"title"`
	Spread string `json:"spread,omitempty"` // the metric whose extremes are shaded behind it
}

// Experiment is something that can be trained: a preset, sized for a browser.
type Experiment struct {
	Name       string    `json:"name"`
	About      string    `json:"about"`
	NeedsText  bool      `json:"needs_text"` // Train.Text has to name an upload
	Parameters int64     `json:"parameters"`
	Settings   []Setting `json:"settings"` // those that a visitor would change
}

// Setting is a key of the configuration.
type Setting struct {
	Key     string `json:"key"` // as in bitnet train --set
	Title   string `json:"title"`
	Default string `json:"default"`
	Kind    string `json:"kind"` // "whole", "number" or "text"
}

// Run is a run, a model or a text that is kept.
type Run struct {
	Name       string         `json:"name"`
	Kind       string         `json:"kind"`       // "run", "model" (uploaded: for talk, and to start from) or "text"
	Experiment string         `json:"experiment"` // of a run
	State      runs.Condition `json:"state"`      // of a run: running, finished, stopped, crashed, diverged
	Why        string         `json:"why"`
	Step       int64          `json:"step"`
	Steps      int64          `json:"steps"`
	Loss       *float64       `json:"loss"` // of the last line of metrics
	TokensSeen int64          `json:"tokens_seen"`
	Parameters int64          `json:"parameters"`
	Checkpoint int64          `json:"checkpoint"` // step of the newest, -1 for none
	Changed    int64          `json:"changed"`    // milliseconds since 1970
	Bytes      int64          `json:"bytes"`      // of its files
	Plays      bool           `json:"plays"`      // it can be given to think
	Talks      bool           `json:"talks"`      // it can be given to open and talk
	Resumes    bool           `json:"resumes"`    // train with resume continues it
	Starts     bool           `json:"starts"`     // train with init starts from it
}

// History is what a page draws of a run.
type History struct {
	Run      Run                   `json:"run"`
	Config   string                `json:"config"` // config.yaml
	Steps    []int64               `json:"steps"`  // of the points, at most about 1,000
	Series   map[string][]*float64 `json:"series"` // by the metric's key; null where there is none
	Low      map[string][]*float64 `json:"low"`
	High     map[string][]*float64 `json:"high"`
	Evals    []Eval                `json:"evals"`
	Samples  []runs.Sample         `json:"samples"` // of the last sampled step
	Problems []runs.Anomaly        `json:"problems"`
}

// Eval is an evaluation with its scores in words.
type Eval struct {
	Step   int64   `json:"step"`
	Scores []Score `json:"scores"` // the first is the validation loss
}

// Score is one result.
type Score struct {
	Name   string      `json:"name"`
	Part   string      `json:"part,omitempty"`
	Value  runs.Number `json:"value"`
	Format runs.Format `json:"format"`
	Text   string      `json:"text"`
}

// Train starts or resumes a training. Exactly one of Experiment and Resume is
// given. To pause, stop it: it saves a checkpoint, and Resume continues it.
type Train struct {
	Experiment string `json:"experiment"` // of Schema.Experiments
	Resume     string `json:"resume"`     // a run
	Init       string `json:"init"`       // with Experiment: a run or model whose weights and shape to start with
	Text       string `json:"text"`       // with an experiment that needs one: a text that was uploaded
	// Settings are changes of the configuration, as bitnet train --set takes
	// them: {"steps": "500", "learning_rate": "1e-3"}.
	Settings map[string]string `json:"settings"`
	Name     string            `json:"name"` // of the new run; "" for one that is made
}

// Trained is how a training ended.
type Trained struct {
	Run   string         `json:"run"`
	State runs.Condition `json:"state"` // finished, or stopped
	Step  int64          `json:"step"`
}

// Preparing is how far the data is: bytes of text for the tokenizer, and tokens.
type Preparing struct {
	Sampled int64 `json:"sampled"`
	Sample  int64 `json:"sample"`
	Tokens  int64 `json:"tokens"`
}

// Begin is what a training is about to do.
type Begin struct {
	Run           string `json:"run"`
	Experiment    string `json:"experiment"`
	Step          int64  `json:"step"` // done so far
	Steps         int64  `json:"steps"`
	Parameters    int64  `json:"parameters"`
	TokensPerStep int64  `json:"tokens_per_step"`
	Config        string `json:"config"`
}

// Progress is how far a training is.
type Progress struct {
	Step         int64   `json:"step"`
	Steps        int64   `json:"steps"`
	TokensPerSec float64 `json:"tokens_per_sec"` // of the last seconds
	Seconds      float64 `json:"seconds"`        // that are left; 0 if unknown
}

// Weights is a picture of one projection: rows x cols bytes, 0 for -1, 1 for 0
// and 2 for +1, row by row, at most 256 x 256, the upper left part of a larger one.
type Weights struct {
	Step    int64      `json:"step"`
	Name    string     `json:"name"`  // of the projection
	Names   []string   `json:"names"` // of all projections; each event shows the next one in turn
	Rows    int        `json:"rows"`
	Cols    int        `json:"cols"`
	AllRows int        `json:"all_rows"` // of the projection
	AllCols int        `json:"all_cols"`
	Codes   any        `json:"codes"`   // Uint8Array
	Shares  [3]float64 `json:"shares"`  // of -1, 0 and +1 in the projection
	Changed float64    `json:"changed"` // share of the codes that differ from those of the event before; -1 for the first
}

// Model is an opened model.
type Model struct {
	Run        string         `json:"run"`
	Parameters int64          `json:"parameters"`
	Context    int            `json:"context"` // most tokens of a text
	Vocab      int            `json:"vocab"`
	Chat       string         `json:"chat"`     // the format of conversations; "plain" continues a text
	Prompt     string         `json:"prompt"`   // to begin with
	Sampling   infer.Sampling `json:"sampling"` // to begin with
}

// Talk asks for an answer. With a chat format other than "plain" Messages is the
// conversation, whose last turn is the visitor's; else the text of the messages is
// continued.
type Talk struct {
	Run      string          `json:"run"`
	Messages []infer.Message `json:"messages"`
	Tokens   int             `json:"tokens"` // at most; 0 for as many as fit
	Stop     []string        `json:"stop"`
	Sampling *infer.Sampling `json:"sampling"` // nil for the model's
}

// Talked is a whole answer.
type Talked struct {
	Text         string  `json:"text"`
	Reason       string  `json:"reason"` // "stop", "length" or "stopped" by the visitor
	Tokens       int     `json:"tokens"`
	PromptTokens int     `json:"prompt_tokens"`
	PromptMS     float64 `json:"prompt_ms"`
	TokensPerSec float64 `json:"tokens_per_sec"`
	Forgotten    int     `json:"forgotten"` // messages that no longer fit the context
}

// Thought is a position of tic-tac-toe and what the model thinks of it.
type Thought struct {
	Moves   string `json:"moves"`
	Marks   string `json:"marks"`   // of the nine cells: "X", "O" or "."
	Turn    string `json:"turn"`    // "X", "O", "" when it is over
	Winner  string `json:"winner"`  // "X", "O", "" for nobody
	Over    bool   `json:"over"`    //
	Legal   []int  `json:"legal"`   //
	Perfect []int  `json:"perfect"` // the moves of a perfect player
	// Squares are the probabilities that the model gives to the nine cells; what
	// is missing to 1 goes to the end of the game.
	Squares [9]float64 `json:"squares"`
	Choice  int        `json:"choice"` // the likeliest cell; 0 where the model has none
	MS      float64    `json:"ms"`     // that it took
}

// Measure says what to measure. What holds some of "peak", "kernels", "step" and
// "generate"; empty for all.
type Measure struct {
	What       []string `json:"what"`
	Experiment string   `json:"experiment"` // of kernels, step and generate; "" for simple
	// Seconds is about how long each of them may take, 0 for 20. A slow GPU is
	// measured with fewer repeats and kernels, and what was left out is said.
	Seconds float64 `json:"seconds"`
}

// Measured is the report.
type Measured struct {
	Report  string         `json:"report"`  // plain text, to copy into an issue
	Results map[string]any `json:"results"` // by what was measured, as bitnet bench --json writes it
	Stopped bool           `json:"stopped"` // before all was measured
}
