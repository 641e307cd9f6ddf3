package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"bitnet/data/corpus"
	"bitnet/data/meter"
	show "bitnet/data/printable"
	"bitnet/data/shard"
)

// dataCommand is `bitnet data`.
func dataCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "Turn text into token shards to train from",
		Long: `Fetch and read text, turn it into token ids, and keep those in files that
training maps into memory.`,
	}
	cmd.AddCommand(dataPrepareCommand(), dataInfoCommand())
	return cmd
}

func dataPrepareCommand() *cobra.Command {
	var (
		o       shard.Options
		from    corpus.Options
		out     string
		tok     string
		heldOut float64
		dry     bool
	)
	var presets []string
	for _, p := range corpus.Presets {
		presets = append(presets, fmt.Sprintf("  %-12s %s (about %.2g GiB to download)", p.Name, p.About, float64(p.Bytes)/(1<<30)))
	}
	cmd := &cobra.Command{
		Use:   "prepare NAME|PATH...",
		Short: "Make token shards out of text",
		Long: `Turn text into token shards. Text is a known data set, one on the hub, or
files and folders: parquet, JSON lines (.jsonl, also .gz and .zst) and text.

` + strings.Join(presets, "\n") + `
  hub:ORG/NAME[@REVISION]   any data set on the hub

A share of the documents, chosen by a hash of their text, is kept for
validation. To resume a run that was stopped, even killed, start the same
command again: it continues after the last finished shard. Training can begin
with the first shard.

HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN and HF_HUB_OFFLINE mean the same as
for huggingface_hub, which shares the cache.`,
		Example: `  # show what it needs, and stop
  bitnet data prepare tinystories --tokenizer my-tokenizer -o data/tinystories --dry-run

  # your own text, with a mark between documents
  bitnet data prepare stories/ --split "<|endoftext|>" --tokenizer my-tokenizer -o data/stories

  # some files of a data set on the hub, and a different column
  bitnet data prepare hub:org/name --files "en/*.parquet" --field content --tokenizer my-tokenizer -o data/name`,
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) == 0 {
				return usageError{fmt.Errorf("name a data set, files or folders; see %s --help", cmd.CommandPath())}
			}
			if heldOut < 0 || heldOut > 0.5 {
				return usageError{fmt.Errorf("--held-out %v must be from 0 to 0.5", heldOut)}
			}
			if err := from.Text.Check(); err != nil {
				return usageError{err}
			}
			if o.HeldOut = heldOut; heldOut == 0 {
				o.HeldOut = -1
			}
			if o.ShardIDs < 1<<10 {
				return usageError{fmt.Errorf("--shard-tokens %d must be 1024 or more", o.ShardIDs)}
			}
			return prepare(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), names, out, tok, from, o, dry)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&out, "output", "o", "", "folder for the shards (required)")
	flags.StringVarP(&tok, "tokenizer", "t", "", "tokenizer.json, folder that holds one, or ORG/NAME on the hub (required)")
	flags.StringVar(&from.Text.Field, "field", "", "column or field that holds the text, in parquet and JSON lines; a.b is b inside a (default text)")
	flags.StringVar(&from.Text.Split, "split", "", "mark between the documents of a text file (default: cut a file about every 64 KiB)")
	flags.IntVar(&from.Text.MaxDocument, "max-document", 0, "refuse documents of more bytes (default 16 MiB, at most 128 MiB)")
	flags.StringSliceVar(&from.Files, "files", nil, "patterns of the files to use of hub:ORG/NAME (default all parquet and JSON lines)")
	flags.IntVar(&from.Parallel, "downloads", 4, "files to download at the same time")
	flags.Float64Var(&heldOut, "held-out", 0.005, "share of the documents to keep for validation")
	flags.Int64Var(&o.ShardIDs, "shard-tokens", 1<<25, "tokens in a shard")
	flags.IntVar(&o.Workers, "workers", 0, "cores to use (0: all); the result is the same")
	flags.BoolVar(&o.NoBOS, "no-bos", false, "do not put the tokenizer's <s> before each document")
	flags.BoolVar(&o.NoEOS, "no-eos", false, "do not put the tokenizer's </s> after each document")
	flags.BoolVar(&o.Fresh, "fresh", false, "replace the shards that are in --output")
	flags.BoolVar(&from.Partial, "partial", false, "without the hub, use a data set of which only some files are in the cache")
	flags.BoolVar(&dry, "dry-run", false, "show what it needs, and stop")
	_ = cmd.MarkFlagRequired("output")
	_ = cmd.MarkFlagRequired("tokenizer")
	return cmd
}

func prepare(ctx context.Context, stdout, stderr io.Writer, names []string, out, tok string, from corpus.Options, o shard.Options, dry bool) error {
	var err error
	if o.Tokenizer, err = corpus.LoadTokenizer(ctx, tok); err != nil {
		return err
	}
	c, err := corpus.Open(ctx, names, from)
	if err != nil {
		return err
	}
	for _, n := range c.Notes {
		fmt.Fprintln(stderr, n)
	}
	lines, err := c.Needs.Check(out, o.Tokenizer.Size())
	for _, l := range lines {
		fmt.Fprintln(stderr, l)
	}
	if err != nil || dry {
		return err
	}
	o.Inputs, o.Text = c.Inputs, c.Text
	var mu sync.Mutex
	var last shard.Progress
	o.Progress = func(p shard.Progress) {
		mu.Lock()
		defer mu.Unlock()
		last = p
	}
	begun := time.Now()
	var m *shard.Manifest
	err = watched(stderr, func() string {
		mu.Lock()
		defer mu.Unlock()
		d, fetched := c.Downloads()
		return strings.Join(prepareParts(last, d, fetched, c.Needs.Files), "; ")
	}, func() (err error) {
		c.Start(ctx)
		m, err = shard.Prepare(ctx, out, o)
		return err
	})
	if err != nil {
		return err
	}
	if last.Text.Done > 0 {
		d := time.Since(begun).Seconds()
		fmt.Fprintf(stderr, "%.1f s, %.1f MiB/s, %.0f tokens/s\n", d, last.Text.Rate/(1<<20), last.IDs.Rate)
	}
	printShards(stdout, out, m)
	return nil
}

// prepareParts says how far the downloads, if any are running, and the shards are.
func prepareParts(p shard.Progress, d meter.Reading, fetched, files int) (parts []string) {
	if d.Total > 0 && d.Done < d.Total {
		s := fmt.Sprintf("download %d of %d files, %d of %d MiB, %.1f MiB/s", fetched, files, d.Done>>20, d.Total>>20, d.Rate/(1<<20))
		if d.ETA >= 0 {
			s += fmt.Sprintf(", %s left", d.ETA.Round(time.Second))
		}
		parts = append(parts, s)
	}
	if p.Documents > 0 {
		s := fmt.Sprintf("%d%%, %d documents, %d shards, %.1f MiB/s, %.0f tokens/s",
			100*p.Inputs.Done/max(p.Inputs.Total, 1), p.Documents, p.Shards, p.Text.Rate/(1<<20), p.IDs.Rate)
		if p.Inputs.ETA >= 0 {
			s += fmt.Sprintf(", %s left", p.Inputs.ETA.Round(time.Second))
		}
		parts = append(parts, s)
	}
	return parts
}

// status shows a changing line until done: on a terminal it rewrites the line,
// elsewhere it prints a new one every 15 seconds.
func status(w io.Writer, done <-chan struct{}, line func() string) {
	every, format := 15*time.Second, "%s\n"
	if isTerminal(w) {
		every, format = 250*time.Millisecond, "\r\x1b[K%s"
		defer fmt.Fprint(w, "\r\x1b[K")
	}
	for {
		select {
		case <-done:
			return
		case <-time.After(every):
			if s := line(); s != "" {
				fmt.Fprintf(w, format, s)
			}
		}
	}
}

// watched shows a line that changes while work goes on.
func watched(w io.Writer, line func() string, work func() error) error {
	done := make(chan struct{})
	var showing sync.WaitGroup
	showing.Go(func() { status(w, done, line) })
	err := work()
	close(done)
	showing.Wait()
	return err
}

func dataInfoCommand() *cobra.Command {
	var verify bool
	var sample int
	var tok string
	cmd := &cobra.Command{
		Use:   "info DIR",
		Short: "Describe a folder of token shards",
		Long:  `Print what a folder of token shards holds and whether it is complete; --verify checks every byte.`,
		Example: `  bitnet data info data/tinystories --verify
  bitnet data info data/tinystories --sample 3 --tokenizer my-tokenizer`,
		Args: exactly(1, "one DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := shard.ReadManifest(args[0])
			if err != nil {
				return err
			}
			printShards(cmd.OutOrStdout(), args[0], m)
			if verify {
				if err := verifyShards(cmd.Context(), args[0], m); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), "all shards are intact")
			}
			if sample > 0 {
				return sampleShards(cmd.Context(), cmd.OutOrStdout(), args[0], m, tok, sample)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&verify, "verify", false, "check every byte of all shards")
	cmd.Flags().IntVar(&sample, "sample", 0, "print the first N documents")
	cmd.Flags().StringVarP(&tok, "tokenizer", "t", "", "tokenizer.json, folder or ORG/NAME to decode --sample with")
	return cmd
}

func printShards(w io.Writer, dir string, m *shard.Manifest) {
	b := bufio.NewWriter(w)
	defer b.Flush()
	row := func(name, format string, values ...any) {
		fmt.Fprintf(b, "%-12s %s\n", name, fmt.Sprintf(format, values...))
	}
	train, val, bytes := m.Totals()
	state := "complete"
	if !m.Complete {
		state = "not complete: run the same bitnet data prepare again to resume"
	}
	row("shards", "%d in %s, %s", len(m.Shards), dir, state)
	row("train", "%d tokens in %d documents", train.IDs, train.Documents)
	row("validation", "%d tokens in %d documents", val.IDs, val.Documents)
	if n := train.IDs + val.IDs; n > 0 {
		row("text", "%.1f MiB, %.2f bytes per token", float64(bytes)/(1<<20), float64(bytes)/float64(n))
	}
	row("inputs", "%d files, first %s", len(m.Inputs), show.String(m.Inputs[0].Name))
	row("tokenizer", "%d tokens, hash %s", m.Vocab, m.Tokenizer)
	mark := func(id *uint32) string {
		if id == nil {
			return "nothing"
		}
		return fmt.Sprint("id ", *id)
	}
	row("documents", "begin with %s, end with %s", mark(m.BOS), mark(m.EOS))
	row("data", "%s", m.ID())
}

func verifyShards(ctx context.Context, dir string, m *shard.Manifest) error {
	for i, e := range m.Shards {
		for _, f := range []shard.File{e.Train, e.Val} {
			if err := ctx.Err(); err != nil {
				return err
			}
			if f.Name == "" {
				continue
			}
			s, err := shard.Open(filepath.Join(dir, f.Name))
			if err != nil {
				return err
			}
			if s.Len() != f.IDs || s.Documents() != f.Documents || s.Tokenizer() != m.Tokenizer {
				err = fmt.Errorf("%s is not the file that the manifest lists as part of shard %d; prepare the data again with --fresh", f.Name, i)
			}
			s.Close()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func sampleShards(ctx context.Context, w io.Writer, dir string, m *shard.Manifest, name string, n int) error {
	if name == "" {
		return usageError{fmt.Errorf("--sample needs --tokenizer")}
	}
	tok, err := corpus.LoadTokenizer(ctx, name)
	if err != nil {
		return err
	}
	if tok.Hash() != m.Tokenizer {
		return fmt.Errorf("%s was prepared with a different tokenizer than %s", dir, name)
	}
	for _, e := range m.Shards {
		if e.Train.Name == "" {
			continue
		}
		s, err := shard.Open(filepath.Join(dir, e.Train.Name))
		if err != nil {
			return err
		}
		defer s.Close()
		for i := range min(int64(n), s.Documents()) {
			ids, err := s.Document(nil, i)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%q\n", tok.Decode(ids))
			n--
		}
		if n <= 0 {
			return nil
		}
	}
	return nil
}
