package chat

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path"
	"slices"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/task"
	"bitnet/data/corpus"
	"bitnet/data/disk"
	"bitnet/data/printable"
	"bitnet/data/rows"
	"bitnet/data/shard"
	"bitnet/data/text"
	"bitnet/data/tokenizer"
)

// mostTokens bounds what is held in memory: 8 bytes a token.
const mostTokens = 1 << 28

// reader turns the parts of a mixture into samples.
type reader struct {
	tok    *tokenizer.Tokenizer
	format infer.ChatFormat
	o      task.Options
	tokens int64 // read so far
}

// sample is a conversation, or a piece of text, as tokens.
type sample struct {
	key     uint64
	ids     []uint32
	learned []bool
	turns   int
	// question is what the last answer follows, and answer is that answer.
	question []uint32
	answer   string
	kind     string
}

// source is a part with its samples.
type source struct {
	part
	samples []sample
	stats   stats
}

// read reads a part.
func (r *reader) read(ctx context.Context, p part) (*source, error) {
	c, err := corpus.Open(ctx, []string{p.name}, corpus.Options{Partial: r.o.Partial})
	if err != nil {
		return nil, err
	}
	for _, n := range c.Notes {
		r.o.Note(n)
	}
	if c.Needs.Download > 0 {
		r.o.Note(fmt.Sprintf("downloading %s of %s to %s", disk.Size(c.Needs.Download), p.name, c.Needs.Cache))
	}
	s := &source{part: p}
	if p.text {
		err = r.readText(ctx, c, s)
	} else {
		err = r.readConversations(ctx, c, s)
	}
	if err == nil && len(s.samples) == 0 {
		err = fmt.Errorf("%s has nothing to learn from%s", printable.String(p.name), s.stats.why())
	}
	return s, err
}

func (r *reader) readConversations(ctx context.Context, c *corpus.Corpus, s *source) error {
	files, others := 0, 0
	for _, in := range c.Inputs {
		if f := text.FormatOf(in.Name); f != text.JSONLines && f != text.Parquet {
			if len(c.Inputs) == 1 {
				return fmt.Errorf("%s: conversations are read from .jsonl, .json (also .gz, .zst) and .parquet files; for plain text write %s%s", printable.String(in.Name), textPrefix, printable.String(s.name))
			}
			others++
			continue
		}
		files++
		file, err := in.Open(ctx)
		if err != nil {
			return err
		}
		for row, err := range text.Rows(ctx, file, columns, c.Text) {
			if err != nil {
				return err
			}
			if err := r.addConversation(s, row); err != nil {
				return fmt.Errorf("%s, %s: %w", printable.String(path.Base(in.Name)), row.Place, err)
			}
		}
	}
	if files > 0 && others > 0 {
		r.o.Note(fmt.Sprintf("%d files of %s are left out: they hold no records", others, printable.String(s.name)))
	}
	if files == 0 {
		return fmt.Errorf("%s has no .jsonl or .parquet file of conversations", printable.String(s.name))
	}
	return nil
}

// addConversation adds a record, or counts why it is dropped.
func (r *reader) addConversation(s *source, row text.Row) error {
	c, why := parse(row.JSON)
	if why != "" {
		s.stats.drop(why, row.Place)
		return nil
	}
	l, err := r.format.Lesson(r.tok, c.messages, c.teaches)
	if err != nil {
		return err
	}
	turns := len(c.messages)
	if len(l.IDs) > r.o.Seq {
		if turns = r.cut(c, &l); turns == 0 {
			s.stats.drop("an answer ends past --seq-len", row.Place)
			return nil
		}
		s.stats.cut++
	}
	last := c.messages[turns-1]
	question, err := r.format.Tokens(r.tok, c.messages[:turns-1])
	if err != nil {
		return err
	}
	return r.add(s, sample{key: c.key(), ids: l.IDs, learned: l.Learned, turns: turns, question: question, answer: last.Content, kind: c.kind})
}

// cut shortens a conversation that is longer than a row to end with an answer
// that is learned, and gives how many messages are left, 0 for none.
func (r *reader) cut(c *conversation, l *infer.Lesson) (turns int) {
	answer, end := -1, 0
	for i, m := range c.messages {
		if m.Role != "assistant" {
			continue
		}
		answer++
		if l.Ends[answer] > r.o.Seq {
			break
		}
		if c.teaches(i) {
			turns, end = i+1, l.Ends[answer]
		}
	}
	l.IDs, l.Learned = l.IDs[:end], l.Learned[:end]
	return turns
}

// endOfText are names of the token that ends a text. It may not be the
// tokenizer's own: that of a chat model ends a message.
var endOfText = []string{"</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>"}

// readText cuts documents into rows. All of it is learned, as in training on text.
func (r *reader) readText(ctx context.Context, c *corpus.Corpus, s *source) error {
	var before, after []uint32
	if bos, ok := r.tok.BOS(); ok {
		before = append(before, bos)
	}
	for _, name := range endOfText {
		if id, ok := r.tok.ID(name); ok && r.tok.IsSpecial(id) {
			after = append(after, id)
			break
		}
	}
	for d, err := range c.Documents(ctx) {
		if err != nil {
			return err
		}
		ids, err := r.tok.AppendOrdinary(slices.Clone(before), d.Text)
		if err != nil {
			return err
		}
		ids = append(ids, after...)
		sum := sha256.Sum256([]byte(d.Text))
		for len(ids) > 1 {
			piece := ids[:min(len(ids), r.o.Seq)]
			ids = ids[len(piece):]
			learned := slices.Repeat([]bool{true}, len(piece))
			if err := r.add(s, sample{key: binary.BigEndian.Uint64(sum[:]), ids: piece, learned: learned}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reader) add(s *source, x sample) error {
	if r.tokens += int64(len(x.ids)); r.tokens > mostTokens {
		return fmt.Errorf("there are more than %d tokens, which is more than is held in memory: name fewer files", int64(mostTokens))
	}
	s.samples = append(s.samples, x)
	return nil
}

// heldOut gives below which key conversations are held out: the share of all
// possible keys, or more if a small set would have none.
func heldOut(sources []*source, share float64) uint64 {
	if share == 0 {
		return 0
	}
	var keys []uint64
	for _, s := range sources {
		for i := range s.samples {
			if !s.text {
				keys = append(keys, s.samples[i].key)
			}
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	limit := uint64(share * (1 << 32) * (1 << 31) * 2)
	if least := shard.LeastHeldOut(len(keys)); least > 0 && keys[least-1] >= limit {
		limit = keys[least-1] + 1
	}
	return limit
}

// split puts the samples of a source where they belong. Text is for training
// only: the validation loss is that of answers.
func (s *source) split(limit uint64, whole bool, train, validation *rows.Samples) (held []sample) {
	for _, x := range s.samples {
		out := !s.text && (whole || x.key < limit)
		if out {
			validation.Add(x.ids, x.learned)
			held = append(held, x)
			s.stats.heldOut++
			continue
		}
		train.Add(x.ids, x.learned)
		s.stats.add(&x)
	}
	return held
}
