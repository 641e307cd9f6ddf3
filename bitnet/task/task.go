// Package task says what a model can be trained on. A task is one folder below
// this one: where its data comes from, how a model of it is examined, and how a
// person tries it. Package catalog is the table of all of them; no other package
// knows one by its name.
package task

import (
	"context"
	"io"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/runs"
	"bitnet/data"
	"bitnet/data/corpus"
	"bitnet/data/tokenizer"
)

// Kind is an entry of the table of tasks.
type Kind struct {
	// Name is what data.source begins with, before the colon of an argument.
	Name string
	// Argument is what follows the colon, as help texts write it: "FILE"; ""
	// for a task that takes none.
	Argument string
	// About is half a line for help texts.
	About string
	// Open makes the task ready: the first batch can be read when it returns.
	Open func(ctx context.Context, o Options) (Task, error)
	// Try is the command with which a person tries a model in a run's folder;
	// nil where there is none.
	Try func(dir string) string
	// Game is how a model is played against; nil for a task that is no game.
	Game *Game
	// Packed says that rows hold several documents that do not see each other:
	// batches of the task need data.Batch.Begins.
	Packed bool
	// Owns says that in an experiment of this task a name without a task is the
	// argument of this one.
	Owns bool
	// Mixes reports whether a part of a list with commas makes all of the list an
	// argument of this task; nil where nothing does.
	Mixes func(part string) bool
	// Prepared says that Open fetches and converts data first, which takes time
	// and room on the disk.
	Prepared bool
	// Holds says what runs generate at once, before the task is opened, with rows of
	// seq tokens; nil where they generate nothing.
	Holds func(seq int) Held
	// Known finds what is known of the data that an argument names before it is
	// fetched; nil where nothing is.
	Known func(argument string) (corpus.Preset, bool)
	// Check reports an argument that names nothing, without the network; nil
	// where there is nothing to check.
	Check func(argument string) error
}

// Held is what samples and an examination need the keys and values of.
type Held struct {
	Prompts  int // that samples continue where the configuration has none
	Examined int // sequences of an examination at once, at most; 0 where there is none
	Length   int // tokens of each of these, at most
}

// Settings are the section data of a run's configuration.
type Settings struct {
	// Source names the task, and after a colon its argument.
	Source string `yaml:"source"`
	// Tokenizer of text: a file, a folder or ORG/NAME on the hub; empty to
	// train one of model.vocab_size tokens.
	Tokenizer string `yaml:"tokenizer"`
	// Dir holds the tokenizer and the token shards of text; empty for a folder
	// in the user's cache.
	Dir string `yaml:"dir"`
	// HeldOut is the share of documents that only the validation loss sees.
	HeldOut float64 `yaml:"held_out"`
	// Pack fills a row with several samples instead of padding.
	Pack bool `yaml:"pack"`
	// LossOnAll trains on the question as well as on the answer.
	LossOnAll bool `yaml:"loss_on_all"`
	// Shuffle draws the windows of a token file in a seeded random order.
	Shuffle bool `yaml:"shuffle"`
	// Partial allows a data set of the hub of which only some files are in the
	// cache while the hub cannot be reached.
	Partial bool `yaml:"partial"`
}

// Options are what a task has to know of the run that opens it.
type Options struct {
	Settings
	Argument string // of Source
	Seq      int    // tokens of a row
	Seed     uint64
	Vocab    int   // the vocabulary of the model
	Tokens   int64 // that the run reads in total; 0 where nothing is trained
	// Own is the tokenizer of the model that training starts from, or that is
	// evaluated. It is always used: a model knows no other. nil for a new model.
	Own *tokenizer.Tokenizer
	// Whole makes Validation read all of the data, for an evaluation of a model
	// on data that it was not trained on.
	Whole bool

	// Follow reads data that another process is just preparing, of the same run,
	// instead of refusing it.
	Follow bool

	Note     func(string)      // gets lines for the user; may come from another goroutine
	Progress func(Preparation) // gets the state of Open several times a second; may be nil
}

// Task is a source of data with what belongs to it.
type Task interface {
	// Train gives the training data, without end.
	Train() data.Source
	// Validation gives one pass over the data that is never trained on, ending
	// with io.EOF; nil where there is no validation data.
	Validation() (data.Source, error)
	// IsText reports whether the data is text, each byte of which is in a token
	// of Tokenizer, so that models with different tokenizers can be compared by
	// their bits per byte.
	IsText() bool
	// Tokenizer is nil where the data is ids and nothing else is known.
	Tokenizer() *tokenizer.Tokenizer
	// Prompts are what samples continue where the configuration has none.
	Prompts() []string
	// Examination lets a model do what it was trained for; nil where there is
	// nothing to examine. The model may be in training.
	Examination(m *model.Model) (Examination, error)
}

// Counted is a task whose data is read whole before training begins.
type Counted interface {
	// Rows is how many rows of a batch so many epochs take.
	Rows(epochs float64) int64
}

// Examination keeps what it needs on the device from one Run to the next.
type Examination interface {
	// Run examines the model in n problems or games, or for 0 in as many as a
	// full examination has. Scores of the whole come first, then those of parts.
	Run(ctx context.Context, n int) ([]runs.Score, error)
	Release()
}

// Game is how people and programs play against a model.
type Game struct {
	Sides     []string // who begins comes first
	Opponents []string // programs that play
	// Play plays one game on a terminal against the model.
	Play func(ctx context.Context, m *infer.Model, o Match, in io.Reader, out io.Writer) error
	// Contest plays many games against a program; each gets a line about every
	// game, if it is not nil.
	Contest func(ctx context.Context, m *infer.Model, o Match, each func(string)) ([]runs.Score, error)
}

// Person is the opponent that is not a program.
const Person = "person"

// Match says who plays against a model.
type Match struct {
	Games    int    // how many; Play plays one
	Opponent string // one of Game.Opponents, or Person
	Side     string // the model's in Contest, the opponent's in Play: one of Game.Sides; "" to take turns
	Seed     uint64 // of the opponent
}
