// Package corpus turns what a user names - a preset, a data set on the hub,
// files and folders - into the inputs that token shards are made of, and says
// before anything is fetched what it will cost. LoadTokenizer does the same for
// tokenizers.
package corpus

import (
	"context"
	"fmt"
	"iter"
	"os"
	"strings"
	"sync"

	"bitnet/data/hub"
	"bitnet/data/meter"
	"bitnet/data/printable"
	"bitnet/data/shard"
	"bitnet/data/text"
)

// Options say how names are read.
type Options struct {
	Text     text.Options // an empty Field means that of the preset, or "text"
	Files    []string     // patterns of the files of hub:org/name; default all parquet and JSON lines
	Parallel int          // downloads at a time; default 4
	// Partial allows a data set of which only some files are in the cache while
	// the hub cannot be reached, or HF_HUB_OFFLINE is set.
	Partial bool
}

// Corpus is a list of files, some of which may still have to be fetched.
type Corpus struct {
	Inputs []shard.Input
	Text   text.Options
	Needs  Needs
	Notes  []string // what the user should know before work begins, a line each

	start     []func(context.Context) *hub.Transfer
	once      sync.Once
	transfers []*hub.Transfer
}

// Needs is what a corpus costs, in bytes.
type Needs struct {
	Files    int
	Size     int64  // of the files
	Download int64  // of those that are not in the cache
	Cache    string // folder they go to; "" if nothing comes from the hub
	Text     int64  // about how much text the files hold
}

// hubPrefix marks the name of a data set on the hub that is no preset.
const hubPrefix = "hub:"

// Open finds the files of all names: a preset, hub:org/name[@revision], or the
// path of a file or folder. Nothing is downloaded yet but lists of files.
func Open(ctx context.Context, names []string, o Options) (*Corpus, error) {
	if o.Parallel == 0 {
		o.Parallel = 4
	}
	if err := o.Text.Check(); err != nil {
		return nil, err
	}
	c := &Corpus{Text: o.Text}
	var client *hub.Client
	for _, name := range names {
		_, err := os.Stat(name)
		p, known := FindPreset(name)
		rest, remote := strings.CutPrefix(name, hubPrefix)
		switch {
		case known && err == nil:
			return nil, fmt.Errorf("%s is both a preset and a path here; write ./%s for the path, or work in a different folder", name, name)
		case remote:
			p = Preset{Repo: rest, Files: o.Files}
		case !known:
			if err := c.addLocal(ctx, name); err != nil {
				return nil, err
			}
			continue
		}
		if client == nil {
			if client, err = newClient(); err != nil {
				return nil, err
			}
		}
		if err := c.addRemote(ctx, client, p, o); err != nil {
			return nil, err
		}
	}
	if len(c.Inputs) == 0 {
		return nil, fmt.Errorf("no data named: give %s, or a path", presetNames())
	}
	return c, nil
}

func newClient() (*hub.Client, error) {
	config, err := hub.FromEnv()
	if err != nil {
		return nil, err
	}
	return hub.New(config)
}

func presetNames() string {
	var names []string
	for _, p := range Presets {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ") + ", hub:ORG/NAME"
}

// CheckName reports a name that Open would refuse, as far as that is known
// without the network.
func CheckName(name string) error {
	if rest, remote := strings.CutPrefix(name, hubPrefix); remote {
		_, err := hub.ParseRepo(hub.Dataset, rest)
		return err
	}
	if _, known := FindPreset(name); known {
		return nil
	}
	return checkPath(name)
}

func checkPath(path string) error {
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		return nil
	}
	err := fmt.Errorf("%s is neither a preset (%s) nor a file or folder here", printable.String(path), presetNames())
	if _, e := hub.ParseRepo(hub.Dataset, path); e == nil && strings.Contains(path, "/") {
		err = fmt.Errorf("%w; for the data set on the hub write %s%s", err, hubPrefix, path)
	}
	return err
}

func (c *Corpus) addLocal(ctx context.Context, path string) error {
	if err := checkPath(path); err != nil {
		return err
	}
	found, err := text.Find(ctx, path)
	if err != nil {
		return err
	}
	inputs, err := shard.LocalInputs(found)
	if err != nil {
		return err
	}
	c.Inputs = append(c.Inputs, inputs...)
	for _, f := range found {
		c.count(f.Path, f.Size, 0)
	}
	return nil
}

func (c *Corpus) count(name string, size, text int64) {
	c.Needs.Files++
	c.Needs.Size += size
	if text == 0 {
		text = textIn(name, size)
	}
	c.Needs.Text += text
}

// textIn guesses how much text a file of that size holds.
func textIn(name string, size int64) int64 {
	switch name = strings.ToLower(name); {
	case strings.HasSuffix(name, ".gz"), strings.HasSuffix(name, ".zst"), strings.HasSuffix(name, ".zstd"):
		return size * 3
	case text.FormatOf(name) == text.Parquet:
		return size * 18 / 10
	}
	return size
}

func (c *Corpus) addRemote(ctx context.Context, client *hub.Client, p Preset, o Options) error {
	repo, err := hub.ParseRepo(hub.Dataset, p.Repo)
	if err != nil {
		return err
	}
	if c.Text.Field == "" {
		c.Text.Field = p.Field
	}
	snap, err := client.List(ctx, repo)
	if err != nil {
		return err
	}
	var files []hub.File
	if len(p.Files) > 0 {
		if files, err = snap.Match(p.Files...); err != nil {
			return err
		}
	} else {
		for _, f := range snap.Files {
			if k := text.FormatOf(f.Path); k == text.Parquet || k == text.JSONLines && !strings.HasSuffix(f.Path, ".json") {
				files = append(files, f)
			}
		}
	}
	if len(files) == 0 {
		wanted := "parquet or JSON lines"
		if len(p.Files) > 0 {
			wanted = strings.Join(p.Files, ", ")
		}
		return fmt.Errorf("dataset %s: none of its %d files is %s; choose with --files PATTERN", repo, len(snap.Files), wanted)
	}
	if files, err = c.available(client, snap, files, o.Partial); err != nil {
		return err
	}
	at := len(c.start)
	c.start = append(c.start, func(ctx context.Context) *hub.Transfer { return client.Start(ctx, snap, files, o.Parallel) })
	c.Needs.Cache = client.Cache
	for i, f := range files {
		size := max(f.Size, 0)
		estimate := int64(0)
		if p.Bytes > 0 {
			estimate = int64(float64(size) * float64(p.Text) / float64(p.Bytes))
		}
		c.count(f.Path, size, estimate)
		if !client.Has(snap, f) {
			c.Needs.Download += size
		}
		c.Inputs = append(c.Inputs, shard.Input{
			Named: shard.Named{Name: repo.Name + "/" + f.Path, Size: size, Version: f.Hash},
			Open: func(ctx context.Context) (string, error) {
				c.Start(ctx)
				return c.transfers[at].Wait(ctx, i)
			},
		})
	}
	return nil
}

// available gives those of files that can be had. Without the hub that may be
// fewer than all: then it fails, unless partial allows it.
func (c *Corpus) available(client *hub.Client, snap *hub.Snapshot, files []hub.File, partial bool) ([]hub.File, error) {
	if !snap.Cached {
		return files, nil
	}
	why := "the hub cannot be reached"
	if client.Offline {
		why = "HF_HUB_OFFLINE is set"
	}
	const advice = "fetch the data set once while the hub can be reached and HF_HUB_OFFLINE is unset, or use what is there with --partial"
	var here, missing []hub.File
	for _, f := range files {
		if client.Has(snap, f) {
			here = append(here, f)
		} else {
			missing = append(missing, f)
		}
	}
	var lack string
	switch {
	case snap.Partial:
		lack = fmt.Sprintf("dataset %s: %s, and the cache %s has no list of its files, only %s: some may be missing", snap.Repo, why, client.Cache, few(here))
	case len(missing) > 0:
		lack = fmt.Sprintf("dataset %s: %s, and %d of %d files are not in the cache %s: %s", snap.Repo, why, len(missing), len(files), client.Cache, few(missing))
	default:
		return files, nil
	}
	if !partial || len(here) == 0 {
		return nil, fmt.Errorf("%s; %s", lack, advice)
	}
	c.Notes = append(c.Notes, lack+"; continuing with the "+few(here)+" in the cache")
	return here, nil
}

// few names some of many files.
func few(files []hub.File) string {
	const most = 3
	var names []string
	for _, f := range files[:min(most, len(files))] {
		names = append(names, printable.Short(f.Path, 100))
	}
	s := strings.Join(names, ", ")
	switch n := len(files); {
	case n > most:
		return fmt.Sprintf("%d files (%s, ...)", n, s)
	case n == 1:
		return fmt.Sprintf("1 file (%s)", s)
	default:
		return fmt.Sprintf("%d files (%s)", n, s)
	}
}

// Start begins to download, in the background, what is not in the cache; the
// files come in order, so that work can begin with the first. ctx ends it. The
// first opening of an input starts it too.
func (c *Corpus) Start(ctx context.Context) {
	c.once.Do(func() {
		for _, start := range c.start {
			c.transfers = append(c.transfers, start(ctx))
		}
	})
}

// Downloads is the state of the downloads that Start began, in bytes, and how
// many files are complete.
func (c *Corpus) Downloads() (bytes meter.Reading, files int) {
	for _, t := range c.transfers {
		r, n := t.Progress()
		bytes.Done += r.Done
		bytes.Total += r.Total
		bytes.Rate += r.Rate
		bytes.ETA = max(bytes.ETA, r.ETA)
		files += n
	}
	return bytes, files
}

// Documents reads the documents in order, fetching what is not in the cache.
func (c *Corpus) Documents(ctx context.Context) iter.Seq2[text.Document, error] {
	return func(yield func(text.Document, error) bool) {
		for _, in := range c.Inputs {
			path, err := in.Open(ctx)
			if err != nil {
				yield(text.Document{}, err)
				return
			}
			for d, err := range text.Documents(ctx, path, 0, c.Text) {
				if err == nil {
					err = ctx.Err()
				}
				if !yield(d, err) || err != nil {
					return
				}
			}
		}
	}
}

// Sample reads the first bytes of text, to train a tokenizer on. An error ends
// it; failed is to be read when it has ended.
func (c *Corpus) Sample(ctx context.Context, bytes int64) (docs iter.Seq[string], failed *error) {
	failed = new(error)
	return func(yield func(string) bool) {
		var n int64
		for d, err := range c.Documents(ctx) {
			if err != nil {
				*failed = err
				return
			}
			n += int64(len(d.Text))
			if !yield(d.Text) || n >= bytes {
				return
			}
		}
	}, failed
}
