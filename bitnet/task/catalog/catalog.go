// Package catalog is the table of all tasks. To add one, write its folder and
// add it to Kinds.
package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"bitnet/bitnet/task"
	"bitnet/bitnet/task/arithmetic"
	"bitnet/bitnet/task/chat"
	"bitnet/bitnet/task/text"
	"bitnet/bitnet/task/tictactoe"
	"bitnet/bitnet/task/tokens"
	"bitnet/data/corpus"
)

// Kinds lists the tasks in the order of help texts.
func Kinds() []task.Kind {
	return []task.Kind{text.Kind, text.Shards, tokens.Kind, chat.Kind, arithmetic.Kind, tictactoe.Kind}
}

// Games lists the tasks that are games.
func Games() []task.Kind {
	var out []task.Kind
	for _, k := range Kinds() {
		if k.Game != nil {
			out = append(out, k)
		}
	}
	return out
}

// Find splits what data.source says into a task and its argument.
func Find(source string) (k task.Kind, argument string, err error) {
	for _, k := range Kinds() {
		if k.Mixes != nil && slices.ContainsFunc(strings.Split(source, ","), k.Mixes) {
			return k, strings.TrimPrefix(source, k.Name+":"), nil
		}
	}
	name, argument, colon := strings.Cut(source, ":")
	for _, k := range Kinds() {
		if k.Name != name || (k.Argument != "") != colon {
			continue
		}
		if k.Argument != "" && argument == "" {
			break
		}
		return k, argument, nil
	}
	return task.Kind{}, "", fmt.Errorf("data.source is %q: choose one of %s", source, strings.Join(forms(), ", "))
}

// Named is the task of what data.source says, whose argument may still be missing: presets
// that train on the user's own data name none.
func Named(source string) (task.Kind, error) {
	k, _, err := Find(source)
	if err == nil {
		return k, nil
	}
	name, argument, _ := strings.Cut(source, ":")
	for _, k := range Kinds() {
		if k.Name == name && argument == "" {
			return k, nil
		}
	}
	return task.Kind{}, err
}

func forms() []string {
	var out []string
	for _, k := range Kinds() {
		form := k.Name
		if k.Argument != "" {
			form += ":" + k.Argument
		}
		out = append(out, form)
	}
	return out
}

// Source is what data.source has to say for what a person names: a task, or
// without the name of one what the task of an experiment's own source takes, or
// else the path of a text.
func Source(named, own string) string {
	if _, _, err := Find(named); err == nil {
		return named
	}
	name, _, _ := strings.Cut(own, ":")
	for _, k := range Kinds() {
		if k.Name == name && k.Owns {
			return name + ":" + named
		}
	}
	return text.Kind.Name + ":" + named
}

// Help says in a line for each task what can be named.
func Help() string {
	var parts []string
	for i, form := range forms() {
		parts = append(parts, fmt.Sprintf("%s (%s)", form, Kinds()[i].About))
	}
	return strings.Join(parts, ", ")
}

// Check reports a source that cannot be opened, as far as that is known without
// the network and without reading the data.
func Check(source string) error {
	k, argument, err := Find(source)
	if err != nil || k.Check == nil {
		return err
	}
	return k.Check(argument)
}

// Packed reports whether the rows of a source hold documents that do not see
// each other.
func Packed(source string) bool {
	k, _, err := Find(source)
	return err == nil && k.Packed
}

// Open opens the task that the options' source names.
func Open(ctx context.Context, o task.Options) (task.Task, error) {
	k, argument, err := Find(o.Source)
	if err != nil {
		return nil, err
	}
	o.Argument = argument
	if o.Note == nil {
		o.Note = func(string) {}
	}
	return k.Open(ctx, o)
}

// Known is what is known of the data of a source before it is fetched.
func Known(source string) (corpus.Preset, bool) {
	k, argument, err := Find(source)
	if err != nil || k.Known == nil {
		return corpus.Preset{}, false
	}
	return k.Known(argument)
}

// Random writes n random ids below vocab to a file in dir, and gives their
// source: for measuring speed without preparing data.
func Random(dir string, n, vocab int, seed uint64) (source string, err error) {
	return tokens.Random(dir, n, vocab, seed)
}
