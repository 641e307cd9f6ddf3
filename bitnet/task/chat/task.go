// Package chat is the task of conversations: a model learns to write the
// assistant's turns. Conversations are packed into rows, where none sees another.
package chat

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/task"
	"bitnet/data"
	"bitnet/data/corpus"
	"bitnet/data/order"
	"bitnet/data/rows"
	"bitnet/data/tokenizer"
)

// Kind is the task in the table.
var Kind = task.Kind{
	Name:     "chat",
	Argument: "PATH or hub:ORG/NAME",
	About:    "conversations; several with commas, each with *WEIGHT, and text:NAME",
	Open:     open,
	Try:      func(dir string) string { return "bitnet chat " + dir },
	Prepared: true,
	Packed:   true,
	Holds:    func(seq int) task.Held { return task.Held{Prompts: prompts, Examined: atOnce, Length: seq} },
	Owns:     true,
	Mixes:    func(part string) bool { return strings.HasPrefix(part, prefix) && part != prefix },
	Check:    check,
}

// chats is an opened mixture.
type chats struct {
	tok        *tokenizer.Tokenizer
	format     infer.ChatFormat
	o          task.Options
	mix        *mix
	train      *rows.Source
	validation *rows.Samples
	held       []sample
}

func open(ctx context.Context, o task.Options) (task.Task, error) {
	list, err := parts(o.Argument)
	if err != nil {
		return nil, err
	}
	t := &chats{o: o, validation: &rows.Samples{}}
	if t.tok, t.format, err = chatTokenizer(ctx, o); err != nil {
		return nil, err
	}
	r := &reader{tok: t.tok, format: t.format, o: o}
	var sources []*source
	for _, p := range list {
		s, err := r.read(ctx, p)
		if err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	return t, t.lay(sources)
}

// lay makes rows of the samples.
func (t *chats) lay(sources []*source) error {
	limit := heldOut(sources, t.o.HeldOut)
	t.mix = &mix{seed: t.o.Seed}
	for _, s := range sources {
		train := &rows.Samples{}
		t.held = append(t.held, s.split(limit, t.o.Whole, train, t.validation)...)
		if s.stats.samples > 0 {
			t.mix.add(train, s.weight)
		}
		t.o.Note(s.line())
	}
	if t.o.Whole {
		return nil
	}
	if t.mix.len() == 0 {
		return errors.New("there are too few conversations: one must be left to train on when some are held out")
	}
	var err error
	t.train, err = rows.New("chat", t.mix.at, t.mix.len(), t.o.Seq, t.options(true))
	if err != nil {
		return err
	}
	n, tokens := t.train.Rows(1)
	t.o.Note(fmt.Sprintf("an epoch has %d conversations and pieces of text in %d rows of %d tokens, %.0f%% full", t.mix.len(), n, t.o.Seq, 100*float64(tokens)/float64(n*int64(t.o.Seq))))
	return nil
}

// options of rows; padding is any token, as nothing is learned from it.
func (t *chats) options(train bool) rows.Options {
	pad, _ := t.tok.Pad()
	if _, ok := t.tok.Pad(); !ok {
		pad = 0
	}
	return rows.Options{Seq: t.o.Seq, Pad: pad, Pack: true, Shuffle: train, Seed: order.Mix(t.o.Seed), Once: !train}
}

// chatTokenizer is the model's tokenizer, with ChatML where it has no chat
// template, and the format of its conversations.
func chatTokenizer(ctx context.Context, o task.Options) (*tokenizer.Tokenizer, infer.ChatFormat, error) {
	var none infer.ChatFormat
	tok, err := task.TextTokenizer(o, func() (*tokenizer.Tokenizer, error) {
		if o.Settings.Tokenizer == "" {
			return nil, errors.New("chat training starts from a model and its tokenizer: name one with --init MODEL (or, for a new model, a tokenizer with --tokenizer)")
		}
		return corpus.LoadTokenizer(ctx, o.Settings.Tokenizer)
	})
	if err != nil {
		return nil, none, err
	}
	if tok.ChatTemplate() == "" {
		if o.Whole {
			return nil, none, errors.New("this model has no chat template, so it cannot be measured on conversations: train it with bitnet train --exp chat --init MODEL")
		}
		_, bos := tok.BOS()
		if tok, err = tok.WithChat(infer.ChatMLTemplate(bos), []string{infer.ChatMLStart, infer.ChatMLEnd}, infer.ChatMLEnd); err != nil {
			return nil, none, err
		}
		o.Note(fmt.Sprintf("the model has no chat template: it gets that of ChatML, with the tokens %s and %s", infer.ChatMLStart, infer.ChatMLEnd))
	}
	format, err := infer.FindChatFormat("", tok)
	if err == nil && len(format.Stop) == 0 {
		err = errors.New("the model has a chat template that bitnet does not know, so other programs would format its conversations differently: remove chat_template from its tokenizer_config.json to get ChatML")
	}
	return tok, format, err
}

// Train gives conversations without end, in the order that the seed decides.
func (t *chats) Train() data.Source { return t.train }

// Validation gives the held-out conversations.
func (t *chats) Validation() (data.Source, error) {
	if t.validation.Longest == 0 {
		return nil, nil
	}
	s, err := rows.New("chat", t.validation.At, t.validation.Len(), t.validation.Longest, t.options(false))
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Rows is how many rows so many epochs take.
func (t *chats) Rows(epochs float64) int64 {
	n, _ := t.train.Rows(epochs)
	return n
}

// Tokenizer is the model's, with what a chat template needs.
func (t *chats) Tokenizer() *tokenizer.Tokenizer { return t.tok }

// IsText is true: answers are text, and bits per byte are those of answers.
func (t *chats) IsText() bool { return true }

// prompts is how many held-out questions samples answer.
const prompts = 3

// Prompts are held-out questions, as texts with the format's special tokens.
func (t *chats) Prompts() []string {
	var list []string
	bos, hasBOS := t.tok.BOS()
	for _, x := range t.held {
		ids := x.question
		if hasBOS && len(ids) > 0 && ids[0] == bos {
			ids = ids[1:]
		}
		if len(list) < prompts {
			list = append(list, t.tok.Decode(ids))
		}
	}
	return list
}
