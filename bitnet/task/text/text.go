// Package text is the task of text: files, folders and data sets on the hub, as
// token shards. Text is made into shards once, in the background, while training
// already reads the first of them.
package text

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"bitnet/bitnet/model"
	"bitnet/bitnet/task"
	"bitnet/data"
	"bitnet/data/corpus"
	"bitnet/data/shard"
	"bitnet/data/tokenizer"
)

// Kind is the task in the table, for text that is named.
var Kind = task.Kind{
	Name:     "text",
	Argument: "NAME or PATH",
	About:    "text files, folders and data sets",
	Open:     openText,
	Try:      chat,
	Holds:    held,
	Prepared: true,
	Known:    corpus.FindPreset,
	Check:    check,
}

// Shards is the task in the table for token shards that bitnet data prepare made.
var Shards = task.Kind{
	Name:     "shards",
	Argument: "FOLDER",
	About:    "token shards of bitnet data prepare",
	Open:     openShards,
	Try:      chat,
	Holds:    held,
}

// prompts are what samples continue.
var prompts = []string{"The "}

func held(int) task.Held { return task.Held{Prompts: len(prompts)} }

// check reports names that are neither data sets nor paths.
func check(names string) error {
	for _, name := range strings.Split(names, ",") {
		if err := corpus.CheckName(name); err != nil {
			return err
		}
	}
	return nil
}

func chat(dir string) string { return "bitnet chat " + dir }

// corpusTask is a task of token shards.
type corpusTask struct {
	train      *shard.Loader
	validation func() (*shard.Loader, error)
	tok        *tokenizer.Tokenizer
}

func (t *corpusTask) Train() data.Source               { return t.train }
func (t *corpusTask) Validation() (data.Source, error) { return t.validation() }
func (t *corpusTask) Tokenizer() *tokenizer.Tokenizer  { return t.tok }
func (t *corpusTask) IsText() bool                     { return true }
func (t *corpusTask) Prompts() []string                { return prompts }

// Examination is nil: text has no answers to check.
func (t *corpusTask) Examination(*model.Model) (task.Examination, error) { return nil, nil }

// tokenizerSample is how much text a tokenizer is trained on, in bytes.
const tokenizerSample = 100 << 20

// textSpecials are the special tokens of a tokenizer that is trained here.
var textSpecials = []string{"<pad>", "<s>", "</s>"}

// openText turns the text that is named into token shards: it trains or
// loads the tokenizer, and makes the shards in the background. It reuses what an
// earlier run has made.
func openText(ctx context.Context, o task.Options) (task.Task, error) {
	if o.Whole {
		o.HeldOut = 0
	}
	dir, err := folder(o)
	if err != nil {
		return nil, err
	}
	tokDir, shardDir := filepath.Join(dir, "tokenizer"), filepath.Join(dir, "shards")

	m, err := shard.ReadManifest(shardDir)
	complete := err == nil && m.Complete
	var source *corpus.Corpus
	if !complete {
		if source, err = corpus.Open(ctx, strings.Split(o.Argument, ","), corpus.Options{Partial: o.Partial}); err != nil {
			return nil, err
		}
		lines, err := source.Needs.Check(dir, o.Vocab)
		for _, l := range lines {
			o.Note(l)
		}
		if err != nil {
			return nil, err
		}
		source.Start(ctx)
	}
	p := &preparing{source: source}
	if source != nil {
		defer p.report(o.Progress)()
	}
	tok, err := textTokenizer(ctx, o, tokDir, p)
	if err != nil {
		return nil, err
	}
	if complete {
		passes(o, m)
		return load(ctx, o, shardDir, tok)
	}
	job, err := shard.Begin(ctx, shardDir, shard.Options{Tokenizer: tok, Inputs: source.Inputs, Text: source.Text, HeldOut: o.HeldOut, Progress: p.shards})
	if errors.Is(err, shard.ErrTaken) && o.Follow {
		return load(ctx, o, shardDir, tok)
	}
	if err != nil {
		return nil, err
	}
	made := func() error {
		m, err := job.Run(ctx)
		if err == nil {
			train, val, _ := m.Totals()
			o.Note(fmt.Sprintf("the token shards are complete: %d tokens for training, %d for the validation loss", train.IDs, val.IDs))
			passes(o, m)
		}
		return err
	}
	if o.Whole { // all of the text is needed before anything is measured
		if err := made(); err != nil {
			return nil, err
		}
		return load(ctx, o, shardDir, tok)
	}
	o.Note(fmt.Sprintf("making token shards in %s; training begins with the first", shardDir))
	failed := make(chan error, 1)
	go func() {
		err := made()
		failed <- err
		if err != nil && ctx.Err() == nil {
			o.Note(err.Error()) // the loader's next wait ends with an error too
		}
	}()
	t, err := load(ctx, o, shardDir, tok)
	if err != nil {
		return nil, err
	}
	if err := t.train.Seek(data.Position{}); err != nil { // it waits for the first shard
		select {
		case cause := <-failed:
			if cause != nil {
				err = cause
			}
		case <-time.After(time.Second):
		}
		return nil, err
	}
	return t, nil
}

// passes notes how often the run reads the text if that is at least twice: a
// model memorizes a small text.
func passes(o task.Options, m *shard.Manifest) {
	train, _, _ := m.Totals()
	if train.IDs == 0 || o.Whole {
		return
	}
	if times := float64(o.Tokens) / float64(train.IDs); times >= 2 {
		o.Note(fmt.Sprintf("the run reads the text %.0f times: beyond about four, more text helps more than more steps", times))
	}
}

// openShards opens a folder that bitnet data prepare made, with the tokenizer
// that it was made with.
func openShards(ctx context.Context, o task.Options) (task.Task, error) {
	tok, err := task.TextTokenizer(o, func() (*tokenizer.Tokenizer, error) {
		if o.Settings.Tokenizer == "" {
			return nil, fmt.Errorf("shards:%s needs the tokenizer that they were made with: --tokenizer", o.Argument)
		}
		return corpus.LoadTokenizer(ctx, o.Settings.Tokenizer)
	})
	if err != nil {
		return nil, err
	}
	t, err := load(ctx, o, o.Argument, tok)
	if err != nil {
		return nil, err
	}
	passes(o, t.train.Manifest())
	return t, nil
}

// load opens shards. Shards without documents for the validation loss are
// read whole where all of the data is to be measured.
func load(ctx context.Context, o task.Options, dir string, tok *tokenizer.Tokenizer) (*corpusTask, error) {
	open := func(l shard.LoadOptions) (*shard.Loader, error) {
		l.Seq, l.Seed, l.Tokenizer = o.Seq, o.Seed, tok.Hash()
		return shard.OpenLoader(ctx, dir, l)
	}
	train, err := open(shard.LoadOptions{Shuffle: o.Shuffle})
	if err != nil {
		return nil, err
	}
	return &corpusTask{
		train: train, tok: tok,
		validation: func() (*shard.Loader, error) {
			_, val, _ := train.Manifest().Totals()
			return open(shard.LoadOptions{Val: !o.Whole || val.IDs > 0, Once: true})
		},
	}, nil
}

// textTokenizer is the model's own tokenizer, the one that an earlier run left
// in dir, the one that the configuration names, or one that it trains.
func textTokenizer(ctx context.Context, o task.Options, dir string, p *preparing) (*tokenizer.Tokenizer, error) {
	tok, err := task.TextTokenizer(o, func() (*tokenizer.Tokenizer, error) {
		if _, err := os.Stat(filepath.Join(dir, "tokenizer.json")); err == nil {
			return tokenizer.Load(dir)
		}
		if o.Settings.Tokenizer != "" {
			return corpus.LoadTokenizer(ctx, o.Settings.Tokenizer)
		}
		if p.source == nil {
			return nil, fmt.Errorf("%s is missing, but the token shards next to it exist: remove %s", dir, filepath.Dir(dir))
		}
		o.Note(fmt.Sprintf("training a tokenizer of %d tokens on the first %d MiB of text", o.Vocab, tokenizerSample>>20))
		docs, failed := p.source.Sample(ctx, tokenizerSample)
		tok, err := tokenizer.Train(ctx, p.sampled(docs), tokenizer.TrainOptions{VocabSize: o.Vocab, Specials: textSpecials})
		if *failed != nil {
			err = *failed
		}
		return tok, err
	})
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "tokenizer.json")); err == nil {
		return tok, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return tok, tok.Save(dir)
}

// folder is where the tokenizer and the shards of a text lie. A model's own
// tokenizer makes other shards than the one that was trained on the text, except
// where that is the same: in the run that trained it, when it is resumed.
func folder(o task.Options) (string, error) {
	dir := o.Dir
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("there is no folder for token shards: %w; set data.dir to one", err)
		}
		made := o.Settings.Tokenizer
		if made == "" {
			made = fmt.Sprintf("trained %d", o.Vocab)
		}
		dir = filepath.Join(cache, "bitnet", "text", key(o, made))
		if o.Own != nil && !holds(dir, o.Own) {
			dir = filepath.Join(cache, "bitnet", "text", key(o, o.Own.Hash()))
		}
	}
	if o.Own == nil || holds(dir, o.Own) {
		return dir, nil
	}
	if _, err := os.Stat(filepath.Join(dir, "tokenizer", "tokenizer.json")); err == nil {
		return "", fmt.Errorf("%s holds token shards of a different tokenizer than the model's: set data.dir to a different folder", dir)
	}
	return dir, nil
}

// holds reports whether a folder was made with a tokenizer.
func holds(dir string, tok *tokenizer.Tokenizer) bool {
	there, err := tokenizer.Load(filepath.Join(dir, "tokenizer"))
	return err == nil && there.Hash() == tok.Hash()
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9]+`)

// key names the folder of what is made of a text with a tokenizer.
func key(o task.Options, tok string) string {
	full := o.Argument
	for _, n := range strings.Split(o.Argument, ",") {
		if _, err := os.Stat(n); err == nil {
			if abs, err := filepath.Abs(n); err == nil {
				full += "\x00" + abs
			}
		}
	}
	h := sha256.Sum256([]byte(fmt.Sprintf("%s\x00%s\x00%g", full, tok, o.HeldOut)))
	base := strings.Trim(notInNames.ReplaceAllString(filepath.Base(o.Argument), "-"), "-")
	return fmt.Sprintf("%s-%s", base[:min(len(base), 40)], hex.EncodeToString(h[:6]))
}
