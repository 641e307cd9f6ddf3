package bitnet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"bitnet/data"
	corpora "bitnet/data/corpus"
	"bitnet/data/shard"
	"bitnet/data/tokenizer"
)

// tokenizerSample is how much text a tokenizer is trained on, in bytes.
const tokenizerSample = 100 << 20

// textSpecials are the special tokens of a tokenizer of our own.
var textSpecials = []string{"<pad>", "<s>", "</s>"}

// openText brings text from where a configuration names it to token shards:
// it trains or loads the tokenizer, and makes the shards in the background
// while training already reads the first of them. What an earlier run has
// made is used again.
func openText(ctx context.Context, c *Config, names string, fixedVocab bool, events Events) (*corpus, error) {
	dir := c.Data.Dir
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("no folder for token shards: %w; set data.dir", err)
		}
		dir = filepath.Join(cache, "bitnet", "text", textKey(c, names))
	}
	tokDir, shardDir := filepath.Join(dir, "tokenizer"), filepath.Join(dir, "shards")

	m, err := shard.ReadManifest(shardDir)
	complete := err == nil && m.Complete
	var source *corpora.Corpus
	if !complete {
		if source, err = corpora.Open(ctx, strings.Split(names, ","), corpora.Options{}); err != nil {
			return nil, err
		}
		lines, err := source.Needs.Check(dir, c.Model.VocabSize)
		for _, l := range lines {
			events.note(l)
		}
		if err != nil {
			return nil, err
		}
		source.Start(ctx)
	}
	p := &preparing{source: source}
	if source != nil {
		defer p.tell(events)()
	}
	tok, err := textTokenizer(ctx, c, tokDir, p, events)
	if err != nil {
		return nil, err
	}
	switch {
	case tok.Size() <= c.Model.VocabSize:
	case fixedVocab:
		return nil, fmt.Errorf("the tokenizer in %s has %d tokens, the model %d: set data.dir to another folder", tokDir, tok.Size(), c.Model.VocabSize)
	default:
		c.Model.VocabSize = (tok.Size() + 63) / 64 * 64
		events.note(fmt.Sprintf("model.vocab_size is now %d, for a tokenizer of %d tokens", c.Model.VocabSize, tok.Size()))
	}
	failed := make(chan error, 1)
	if !complete {
		job, err := shard.Begin(ctx, shardDir, shard.Options{Tokenizer: tok, Inputs: source.Inputs, Text: source.Text, HeldOut: c.Data.HeldOut, Progress: p.shards})
		if err != nil {
			return nil, err
		}
		events.note(fmt.Sprintf("making token shards in %s; training begins with the first", shardDir))
		go func() {
			m, err := job.Run(ctx)
			failed <- err
			if err == nil {
				train, val, _ := m.Totals()
				events.note(fmt.Sprintf("the token shards are complete: %d tokens to train on, %d held out", train.IDs, val.IDs))
			} else if ctx.Err() == nil {
				events.note(err.Error()) // the loader's next wait ends with an error too
			}
		}()
	}
	loaded, err := loadShards(ctx, c, shardDir, tok)
	if err != nil {
		return nil, err
	}
	if err := loaded.train.Seek(data.Position{}); err != nil { // it waits for the first shard
		select {
		case cause := <-failed:
			if cause != nil {
				err = cause
			}
		case <-time.After(time.Second):
		}
		return nil, err
	}
	return loaded, nil
}

// openShards opens a folder that bitnet data prepare made, with the tokenizer
// that it was made with.
func openShards(ctx context.Context, c *Config, dir string, fixedVocab bool) (*corpus, error) {
	if c.Data.Tokenizer == "" {
		return nil, fmt.Errorf("shards:%s needs the tokenizer that they were made with: --tokenizer", dir)
	}
	tok, err := corpora.LoadTokenizer(ctx, c.Data.Tokenizer)
	if err != nil {
		return nil, err
	}
	if tok.Size() > c.Model.VocabSize {
		if fixedVocab {
			return nil, fmt.Errorf("the tokenizer %s has %d tokens, the model %d", c.Data.Tokenizer, tok.Size(), c.Model.VocabSize)
		}
		c.Model.VocabSize = (tok.Size() + 63) / 64 * 64
	}
	return loadShards(ctx, c, dir, tok)
}

func loadShards(ctx context.Context, c *Config, dir string, tok *tokenizer.Tokenizer) (*corpus, error) {
	load := func(o shard.LoadOptions) (*shard.Loader, error) {
		o.Seq, o.Seed, o.Tokenizer = c.Train.SeqLen, c.Train.Seed, tok.Hash()
		return shard.OpenLoader(ctx, dir, o)
	}
	train, err := load(shard.LoadOptions{Shuffle: c.Data.Shuffle})
	if err != nil {
		return nil, err
	}
	return &corpus{
		train: train, tokenizer: tok,
		heldOut: func() (data.Source, error) { return load(shard.LoadOptions{Val: true, Once: true}) },
	}, nil
}

// textTokenizer loads the tokenizer that an earlier run left, or the one that
// the configuration names, or trains one.
func textTokenizer(ctx context.Context, c *Config, dir string, p *preparing, events Events) (*tokenizer.Tokenizer, error) {
	if _, err := os.Stat(filepath.Join(dir, "tokenizer.json")); err == nil {
		return tokenizer.Load(dir)
	}
	var tok *tokenizer.Tokenizer
	var err error
	if c.Data.Tokenizer != "" {
		tok, err = corpora.LoadTokenizer(ctx, c.Data.Tokenizer)
	} else {
		if p.source == nil {
			return nil, fmt.Errorf("%s is gone, but the token shards beside it are there: remove %s", dir, filepath.Dir(dir))
		}
		events.note(fmt.Sprintf("training a tokenizer of %d tokens on the first %d MiB of text", c.Model.VocabSize, tokenizerSample>>20))
		docs, failed := p.source.Sample(ctx, tokenizerSample)
		tok, err = tokenizer.Train(ctx, p.sampled(docs), tokenizer.TrainOptions{VocabSize: c.Model.VocabSize, Specials: textSpecials})
		if *failed != nil {
			err = *failed
		}
	}
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return tok, tok.Save(dir)
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9]+`)

// textKey names the folder of what is made of a text.
func textKey(c *Config, names string) string {
	full := names
	for _, n := range strings.Split(names, ",") {
		if _, err := os.Stat(n); err == nil {
			if abs, err := filepath.Abs(n); err == nil {
				full += "\x00" + abs
			}
		}
	}
	h := sha256.Sum256([]byte(fmt.Sprintf("%s\x00%s\x00%d\x00%g", full, c.Data.Tokenizer, c.Model.VocabSize, c.Data.HeldOut)))
	base := strings.Trim(notInNames.ReplaceAllString(filepath.Base(names), "-"), "-")
	return fmt.Sprintf("%s-%s", base[:min(len(base), 40)], hex.EncodeToString(h[:6]))
}
