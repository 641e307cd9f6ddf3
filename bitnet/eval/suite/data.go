package suite

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"bitnet/data/disk"
	"bitnet/data/hub"
	"bitnet/data/meter"
	"bitnet/data/plainfile"
	"bitnet/data/printable"
	"bitnet/data/text"
)

// source says where test sets come from.
type source struct {
	dir  string // a folder with files of them; "" for the hub
	note func(string)
	// fetching gets the state of a download, in bytes.
	fetching func(name string, r meter.Reading)
}

// questions reads the questions of a task, at most limit of them (0: all). total is
// how many the files have.
func (s source) questions(ctx context.Context, t Task, limit int) (list []question, total int, err error) {
	files, err := s.files(ctx, t)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", t.Name, err)
	}
	for _, file := range files {
		for row, err := range text.Rows(ctx, file, t.columns, text.Options{Integers: true}) {
			if err != nil {
				return nil, 0, fmt.Errorf("%s: %w", t.Name, err)
			}
			if total++; limit > 0 && total > limit {
				continue
			}
			q, err := t.read(row.JSON)
			if err != nil {
				return nil, 0, fmt.Errorf("%s: %s, %s: %w", t.Name, printable.String(file), row.Place, err)
			}
			list = append(list, q)
		}
	}
	if total == 0 {
		return nil, 0, fmt.Errorf("%s: %s has no rows", t.Name, printable.String(strings.Join(files, ", ")))
	}
	return list, total, nil
}

func (s source) files(ctx context.Context, t Task) ([]string, error) {
	if s.dir != "" {
		return local(s.dir, t)
	}
	return s.fetch(ctx, t)
}

// words are the parts of a path that split names, such as test, are looked for in.
func words(p string) []string {
	return strings.FieldsFunc(strings.ToLower(p), func(r rune) bool { return strings.ContainsRune("/._-", r) })
}

// pick gives those of the paths of a data set, in order, that hold the split of a
// task: in the folder of its configuration, if it has one and there is such a
// folder. Of a data set that comes as parquet and as JSON the first is taken.
func pick(t Task, paths []string) []string {
	paths = slices.Clone(paths)
	slices.Sort(paths)
	in := func(folder string) (out []string) {
		for _, p := range paths {
			f := text.FormatOf(p)
			dir := "/" + path.Dir(p) + "/"
			if (f == text.Parquet || f == text.JSONLines) && slices.Contains(words(p), t.split) &&
				(folder == "" || strings.Contains(dir, "/"+folder+"/")) {
				out = append(out, p)
			}
		}
		return out
	}
	if found := in(t.config); len(found) > 0 {
		return oneFormat(found)
	}
	for _, name := range t.files {
		for _, p := range paths {
			if p == name || path.Base(p) == path.Base(name) {
				return []string{p}
			}
		}
	}
	return nil
}

func oneFormat(paths []string) []string {
	parquet := func(p string) bool { return text.FormatOf(p) == text.Parquet }
	if !slices.ContainsFunc(paths, parquet) {
		return paths
	}
	return slices.DeleteFunc(paths, func(p string) bool { return !parquet(p) })
}

// local finds the files of a task in a folder: TASK.parquet, TASK.jsonl or TASK.json
// (also .gz and .zst), or a copy of its data set in a folder that is called like the
// task or like the data set.
func local(dir string, t Task) ([]string, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", printable.String(dir))
	}
	set := path.Base(t.repo)
	for _, ending := range []string{".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".json.gz", ".json.zst"} {
		p := filepath.Join(dir, t.Name+ending)
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			return []string{p}, nil
		}
	}
	for _, name := range []string{t.Name, set} {
		root := filepath.Join(dir, name)
		if info, err := os.Stat(root); err != nil || !info.IsDir() {
			continue
		}
		paths, err := filesBelow(root)
		if err != nil {
			return nil, err
		}
		if found := pick(t, paths); len(found) > 0 {
			for i, p := range found {
				found[i] = filepath.Join(root, filepath.FromSlash(p))
			}
			return found, nil
		}
		return nil, fmt.Errorf("none of the %d files below %s holds its %s split", len(paths), printable.String(root), t.splitName())
	}
	return nil, fmt.Errorf("%s has neither a file %s.parquet or %s.jsonl nor a copy of the data set in a folder %s or %s", printable.String(dir), t.Name, t.Name, t.Name, set)
}

func (t Task) splitName() string {
	if t.config != "" {
		return t.config + " " + t.split
	}
	return t.split
}

// filesBelow lists the files below a folder, with slashes, hidden ones left out.
func filesBelow(root string) (paths []string, err error) {
	err = plainfile.Below(root, func(p string, _ fs.DirEntry) error {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			rel, err := filepath.Rel(root, p)
			if err != nil {
				return err
			}
			paths = append(paths, filepath.ToSlash(rel))
		}
		return nil
	})
	return paths, err
}

// converted is the branch where the hub keeps each data set as parquet.
const converted = "refs/convert/parquet"

// fetch brings the files of a task's split from the hub into its cache.
func (s source) fetch(ctx context.Context, t Task) ([]string, error) {
	config, err := hub.FromEnv()
	if err != nil {
		return nil, err
	}
	client, err := hub.New(config)
	if err != nil {
		return nil, err
	}
	snap, files, err := find(ctx, client, t)
	if err != nil {
		return nil, fmt.Errorf("%w; files of your own are named with --suite-data", err)
	}
	var total int64
	for _, f := range files {
		if !client.Has(snap, f) {
			total += max(f.Size, 0)
		}
	}
	if total > 0 {
		s.note(fmt.Sprintf("downloading %s of %s to %s", disk.Size(total), t.repo, client.Cache))
	}
	m := meter.New(total)
	var out []string
	for _, f := range files {
		p, err := client.Download(ctx, snap, f, func(n int64, fresh bool) {
			if fresh {
				m.Add(n)
				s.fetching(t.Name, m.Read())
			}
		})
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// find lists a data set and picks the files of a task's split: those of its main
// branch, or those that the hub made of them.
func find(ctx context.Context, client *hub.Client, t Task) (*hub.Snapshot, []hub.File, error) {
	count := 0
	for _, revision := range []string{"main", converted} {
		snap, err := client.List(ctx, hub.Repo{Kind: hub.Dataset, Name: t.repo, Revision: revision})
		if err != nil {
			if revision == converted {
				break
			}
			return nil, nil, err
		}
		var paths []string
		for _, f := range snap.Files {
			paths = append(paths, f.Path)
		}
		count += len(paths)
		var files []hub.File
		for _, p := range pick(t, paths) {
			if f, ok := snap.File(p); ok {
				files = append(files, f)
			}
		}
		if len(files) > 0 {
			return snap, files, nil
		}
	}
	return nil, nil, fmt.Errorf("none of the %d files of the data set %s holds its %s split", count, t.repo, t.splitName())
}
