package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bitnet/data/corpus"
	"bitnet/data/meter"
	"bitnet/data/text"
	"bitnet/data/tokenizer"
)

// tokenizerCommand is `bitnet tokenizer`.
func tokenizerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tokenizer",
		Short: "Train and use byte-level BPE tokenizers",
		Long: `Train a vocabulary on text, turn text into token ids and back, and describe a
tokenizer. The files are Hugging Face's tokenizer.json; those of GPT-2, Llama 3,
SmolLM and similar models can be used too.`,
	}
	cmd.AddCommand(tokenizerTrainCommand(), tokenizerEncodeCommand(), tokenizerDecodeCommand(), tokenizerInfoCommand())
	return cmd
}

func tokenizerTrainCommand() *cobra.Command {
	var (
		o       tokenizer.TrainOptions
		reading text.Options
		out     string
		limit   int
		force   bool
	)
	cmd := &cobra.Command{
		Use:   "train PATH...",
		Short: "Train a tokenizer on files and folders of text",
		Long: `Train a byte-level BPE vocabulary on text, JSON lines or parquet files, or on
folders of them, and write tokenizer.json, tokenizer_config.json and
special_tokens_map.json. The merges are the same as those of Hugging Face's
trainer on the same documents.`,
		Example: `  # 2,048 tokens from all text below a folder
  bitnet tokenizer train stories/ --vocab-size 2048 -o stories-tokenizer

  # 32,000 tokens from the first 500 MB of the column "text" of a parquet file
  bitnet tokenizer train fineweb.parquet --limit-mb 500 -o my-tokenizer`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			if _, err := os.Stat(filepath.Join(out, "tokenizer.json")); err == nil && !force {
				return fmt.Errorf("%s already holds a tokenizer; choose a different --output, or --force to replace it", out)
			}
			files, err := text.Find(cmd.Context(), paths...)
			if err != nil {
				return err
			}
			tok, err := trainTokenizer(cmd.Context(), cmd.ErrOrStderr(), files, reading, int64(limit)*1e6, o)
			if err != nil {
				return err
			}
			if err := tok.Save(out); err != nil {
				return err
			}
			if tok.Size() < o.VocabSize {
				fmt.Fprintf(cmd.ErrOrStderr(), "The text has enough pairs for only %d of %d tokens; give more text, or use --vocab-size %d.\n", tok.Size(), o.VocabSize, tok.Size())
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d tokens, hash %s\n", out, tok.Size(), tok.Hash())
			return nil
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&o.VocabSize, "vocab-size", 32000, "number of tokens: special tokens, 256 bytes and merges")
	flags.IntVar(&o.MinFrequency, "min-frequency", 2, "do not merge pairs that are rarer than this")
	flags.StringSliceVar(&o.Specials, "special", []string{"<pad>", "<s>", "</s>", "<unk>"}, "special tokens, which get the first ids")
	flags.StringVarP(&out, "output", "o", "", "folder to write to (required)")
	flags.IntVar(&limit, "limit-mb", 0, "stop reading after this many MB of text (0: read all)")
	flags.StringVar(&reading.Field, "field", "text", "column or field that holds the text, in parquet and JSON lines; a.b is b inside a")
	flags.BoolVar(&force, "force", false, "replace a tokenizer that is already there")
	_ = cmd.MarkFlagRequired("output")
	return cmd
}

// trainTokenizer trains on the documents of files, up to limit bytes of text
// (0: all), and shows its progress on w if that is a terminal.
func trainTokenizer(ctx context.Context, w io.Writer, files []text.Found, reading text.Options, limit int64, o tokenizer.TrainOptions) (*tokenizer.Tokenizer, error) {
	var size, used int64
	for _, f := range files {
		size += f.Size
	}
	if limit > 0 {
		size = min(size, limit)
	}
	line := newProgressLine(w)
	defer line.clear()

	bytes, merges := meter.New(size), meter.New(0)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	docs := iter.Seq[string](func(yield func(string) bool) {
		for _, f := range files {
			var read int64
			for doc, err := range text.Documents(ctx, f.Path, 0, reading) {
				if err != nil {
					failed = err
					cancel()
					return
				}
				bytes.Add(doc.Read - read)
				read = doc.Read
				if !yield(doc.Text) {
					return
				}
				if used += int64(len(doc.Text)); limit > 0 && used >= limit {
					return
				}
			}
		}
	})
	made := 0
	o.Progress = func(done, total int) {
		if total == 0 {
			line.show("reading", bytes.Read(), 1e6, "MB")
			return
		}
		merges.SetTotal(int64(total))
		merges.Add(int64(done - made))
		made = done
		line.show("merging", merges.Read(), 1, "tokens")
	}
	tok, err := tokenizer.Train(ctx, docs, o)
	if failed != nil {
		return nil, failed
	}
	return tok, err
}

func tokenizerEncodeCommand() *cobra.Command {
	var path string
	var ordinary, tokens bool
	cmd := &cobra.Command{
		Use:   "encode [TEXT...]",
		Short: "Turn text into token ids",
		Long: `Print the token ids of each TEXT on its own line, or those of standard input.
Special tokens inside the text become their ids unless --ordinary is given.`,
		Example: `  bitnet tokenizer encode -t my-tokenizer "Once upon a time"
  bitnet tokenizer encode -t my-tokenizer --tokens "Once upon a time"
  bitnet tokenizer encode -t my-tokenizer < story.txt > story.ids`,
		RunE: func(cmd *cobra.Command, texts []string) error {
			tok, err := corpus.LoadTokenizer(cmd.Context(), path)
			if err != nil {
				return err
			}
			if len(texts) == 0 {
				all, err := io.ReadAll(cmd.InOrStdin())
				if err != nil {
					return fmt.Errorf("reading standard input: %w", err)
				}
				texts = []string{string(all)}
			}
			encode := tok.Encode
			if ordinary {
				encode = tok.EncodeOrdinary
			}
			w := bufio.NewWriter(cmd.OutOrStdout())
			for _, t := range texts {
				ids, err := encode(t)
				if err != nil {
					return err
				}
				if tokens {
					printTokens(w, tok, ids)
				} else {
					printIDs(w, ids)
				}
			}
			return w.Flush()
		},
	}
	tokenizerFlag(cmd, &path)
	cmd.Flags().BoolVar(&ordinary, "ordinary", false, "treat special tokens inside the text as plain text")
	cmd.Flags().BoolVar(&tokens, "tokens", false, "print one id per line, with its text")
	return cmd
}

func printIDs(w *bufio.Writer, ids []uint32) {
	for i, id := range ids {
		if i > 0 {
			w.WriteByte(' ')
		}
		w.WriteString(strconv.FormatUint(uint64(id), 10))
	}
	w.WriteByte('\n')
}

func printTokens(w *bufio.Writer, tok *tokenizer.Tokenizer, ids []uint32) {
	for _, id := range ids {
		special := ""
		if tok.IsSpecial(id) {
			special = " special"
		}
		fmt.Fprintf(w, "%d\t%q%s\n", id, tok.Decode([]uint32{id}), special)
	}
}

func tokenizerDecodeCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "decode [ID...]",
		Short: "Turn token ids into text",
		Long:  `Print the text of the ids given, or of those on standard input, byte for byte.`,
		Example: `  bitnet tokenizer decode -t my-tokenizer 1 403 12 77
  bitnet tokenizer decode -t my-tokenizer < story.ids > story.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			tok, err := corpus.LoadTokenizer(cmd.Context(), path)
			if err != nil {
				return err
			}
			var words *bufio.Scanner
			if len(args) > 0 {
				words = bufio.NewScanner(strings.NewReader(strings.Join(args, " ")))
			} else {
				words = bufio.NewScanner(cmd.InOrStdin())
			}
			words.Split(bufio.ScanWords)
			w := bufio.NewWriter(cmd.OutOrStdout())
			for words.Scan() {
				id, err := strconv.ParseUint(strings.Trim(words.Text(), ",[]"), 10, 32)
				if err != nil {
					return fmt.Errorf("%q is not a token id; give whole numbers separated by spaces", words.Text())
				}
				if int64(id) >= int64(tok.Size()) {
					return fmt.Errorf("there is no token %d: this tokenizer has the tokens 0 to %d", id, tok.Size()-1)
				}
				w.WriteString(tok.Decode([]uint32{uint32(id)}))
			}
			if err := words.Err(); err != nil {
				return fmt.Errorf("reading standard input: %w", err)
			}
			if isTerminal(cmd.OutOrStdout()) {
				w.WriteByte('\n')
			}
			return w.Flush()
		},
	}
	tokenizerFlag(cmd, &path)
	return cmd
}

func tokenizerInfoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "info PATH|ORG/NAME",
		Short: "Describe a tokenizer",
		Long:  `Print the size, special tokens, hash and longest tokens of a tokenizer: a tokenizer.json, a folder that holds one, or ORG/NAME on the hub.`,
		Example: `  bitnet tokenizer info my-tokenizer
  bitnet tokenizer info downloads/tokenizer.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			tok, err := corpus.LoadTokenizer(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			w := bufio.NewWriter(cmd.OutOrStdout())
			printTokenizer(w, tok)
			return w.Flush()
		},
	}
}

func printTokenizer(w *bufio.Writer, tok *tokenizer.Tokenizer) {
	row := func(name, format string, values ...any) {
		fmt.Fprintf(w, "%-12s %s\n", name, fmt.Sprintf(format, values...))
	}
	var special, added []string
	var longest []uint32
	for id := range uint32(tok.Size()) {
		name, _ := tok.Token(id)
		switch tok.Kind(id) {
		case tokenizer.Control:
			special = append(special, fmt.Sprintf("%q %d", name, id))
		case tokenizer.UserDefined:
			added = append(added, fmt.Sprintf("%q %d", name, id))
		default:
			longest = append(longest, id)
		}
	}
	row("tokens", "%d", tok.Size())
	row("merges", "%d", len(tok.Merges()))
	row("splitting", "%s", splitting(tok.Pre()))
	for _, role := range []struct {
		name string
		get  func() (uint32, bool)
	}{{"begins text", tok.BOS}, {"ends text", tok.EOS}, {"pads", tok.Pad}} {
		if id, ok := role.get(); ok {
			name, _ := tok.Token(id)
			row(role.name, "%q %d", name, id)
		} else {
			row(role.name, "none")
		}
	}
	row("special", "%s", few(special))
	row("added", "%s", few(added))
	row("hash", "%s", tok.Hash())

	slices.SortStableFunc(longest, func(a, b uint32) int {
		return len(tok.Decode([]uint32{b})) - len(tok.Decode([]uint32{a}))
	})
	name := "longest"
	for _, id := range longest[:min(10, len(longest))] {
		s := tok.Decode([]uint32{id})
		row(name, "%d bytes, %d, %s", len(s), id, few([]string{strconv.Quote(s)}))
		name = ""
	}
}

func splitting(pre string) string {
	if pre == "" {
		return "custom (llama.cpp has no name for it)"
	}
	return pre
}

// few joins a list, shortened to a few lines.
func few(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	const most = 20
	more := ""
	if len(list) > most {
		more = fmt.Sprintf(" and %d more", len(list)-most)
		list = list[:most]
	}
	s := []rune(strings.Join(list, ", "))
	if len(s) > 1000 {
		s = append(s[:1000], []rune("...")...)
	}
	return string(s) + more
}

func tokenizerFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "tokenizer", "t", "", "tokenizer.json, folder that holds one, or ORG/NAME on the hub (required)")
	_ = cmd.MarkFlagRequired("tokenizer")
}

// progressLine rewrites one line of a terminal; elsewhere it prints nothing.
type progressLine struct {
	w     io.Writer
	last  time.Time
	wrote bool
}

func newProgressLine(w io.Writer) *progressLine {
	if !isTerminal(w) {
		w = nil
	}
	return &progressLine{w: w}
}

func (p *progressLine) show(what string, r meter.Reading, unit float64, name string) {
	if p.w == nil || time.Since(p.last) < 200*time.Millisecond {
		return
	}
	p.last, p.wrote = time.Now(), true
	fmt.Fprintf(p.w, "\r\x1b[K%s %.0f", what, float64(r.Done)/unit)
	if r.Total > 0 {
		fmt.Fprintf(p.w, " of %.0f", float64(r.Total)/unit)
	}
	fmt.Fprintf(p.w, " %s, %.0f %s/s", name, r.Rate/unit, name)
	if r.ETA >= 0 {
		fmt.Fprintf(p.w, ", %s left", r.ETA.Round(time.Second))
	}
}

func (p *progressLine) clear() {
	if p.wrote {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
