package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"bitnet/bitnet/export"
	"bitnet/bitnet/share"
	"bitnet/data/hub"
	"bitnet/data/meter"
	"bitnet/data/plainfile"
	"bitnet/data/printable"
)

// tokenFlags say which token the hub gets, besides the environment.
type tokenFlags struct{ token, file string }

func (f *tokenFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.token, "token", "", "the hub's token (default: HF_TOKEN, or the file that huggingface_hub keeps it in); others see it in the list of processes")
	fl.StringVar(&f.file, "token-file", "", "file that holds the hub's token")
}

// client makes a client of the hub that the environment names.
func (f *tokenFlags) client() (*hub.Client, error) {
	if f.token != "" && f.file != "" {
		return nil, usageError{errors.New("give --token or --token-file, not both")}
	}
	config, err := hub.FromEnv()
	if err != nil {
		return nil, err
	}
	if f.token != "" {
		config.Token = f.token
	}
	if f.file != "" {
		text, err := plainfile.Read(f.file, 1<<12)
		if err != nil {
			return nil, fmt.Errorf("reading --token-file %s: %w", printable.String(f.file), err)
		}
		if config.Token = strings.TrimSpace(string(text)); config.Token == "" {
			return nil, fmt.Errorf("--token-file %s is empty", printable.String(f.file))
		}
	}
	return hub.New(config)
}

func pushCommand() *cobra.Command {
	var o share.Options
	var token tokenFlags
	var message string
	var private, dry bool
	var parallel int
	c := &cobra.Command{
		Use:   "push RUN|DIR ORG/NAME",
		Short: "Upload a model to the Hugging Face hub",
		Long: `Upload a model to a Hugging Face hub, with a model card that says how it was
trained, how well it did, and how to use it. RUN is a run (its newest checkpoint),
RUN@best, or a checkpoint: its weights and tokenizer are exported as bitnet export
does, without the optimizer's state. Any other folder is uploaded as it is.

ORG is your user name or an organization. The repository is created if there is
none; ORG/NAME@BRANCH pushes to another branch than main. All files arrive as
one commit, or none does. Files that the hub has are not sent again: to resume a
push, run the same command again. A README.md that you changed on the hub stays.

The token needs write access. It comes from HF_TOKEN, from the file where
huggingface_hub keeps it, or from --token-file. HF_ENDPOINT names a different hub.`,
		Example: `  bitnet push my_run me/my-model --private
  bitnet push my_run@best me/my-model --license mit
  bitnet push my_run me/my-model-gguf --format gguf
  bitnet push exported-model/ me/my-model --dry-run`,
		Args: exactly(2, "a run or a folder, and ORG/NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			repo, err := hub.ParseRepo(hub.Model, args[1])
			if err == nil && !strings.Contains(repo.Name, "/") {
				err = fmt.Errorf("%q: write ORG/NAME, where ORG is your user name or an organization", args[1])
			}
			if err == nil && parallel < 1 {
				err = fmt.Errorf("--uploads %d must be 1 or more", parallel)
			}
			if err != nil {
				return usageError{err}
			}
			if o.Format != "" {
				if err := oneOf("--format", o.Format, export.Formats); err != nil {
					return err
				}
			}
			client, err := token.client()
			if err != nil {
				return err
			}
			o.Repo, o.Note = repo.Name, noteTo(c)
			parcel, err := share.Pack(c.Context(), args[0], o)
			if err != nil {
				return err
			}
			defer parcel.Close()
			if dry {
				printParcel(c.OutOrStdout(), parcel)
				return nil
			}
			kept, err := share.KeepReadme(c.Context(), client, repo, parcel)
			if err != nil {
				return err
			}
			if kept {
				o.Note("the README.md on the hub is not one that bitnet wrote: it stays")
			}
			return push(c, client, repo, parcel, hub.PushOptions{Message: message, Private: private, Parallel: parallel, Note: o.Note})
		},
	}
	fl := c.Flags()
	runsDirFlag(fl, &o.RunsDir)
	fl.StringVar(&o.Format, "format", "", "of a run: "+strings.Join(export.Formats, ", ")+" (default hf, or peft for an adapter)")
	fl.StringVar(&o.Type, "type", "", "of a GGUF file: "+strings.Join(export.Types, ", "))
	fl.StringVar(&o.License, "license", "", "license in the model card, by the hub's identifier: mit, apache-2.0, cc-by-4.0, other, ...")
	fl.BoolVar(&o.NoCard, "no-card", false, "write no model card")
	fl.BoolVar(&private, "private", false, "if the repository is created, make it private")
	fl.StringVarP(&message, "message", "m", "Upload a model with bitnet", "message of the commit")
	fl.IntVar(&parallel, "uploads", 2, "large files to send at the same time")
	fl.BoolVar(&dry, "dry-run", false, "list the files with their sizes, and stop; nothing is sent")
	token.add(fl)
	return c
}

func printParcel(w io.Writer, p *share.Parcel) {
	for _, f := range p.Files {
		fmt.Fprintln(w, printable.String(f.Path))
	}
	fmt.Fprintf(w, "%d files, %s\n", len(p.Files), sizeText(p.Bytes))
}

// push sends a parcel and shows its progress.
func push(c *cobra.Command, client *hub.Client, repo hub.Repo, parcel *share.Parcel, o hub.PushOptions) error {
	o.Meter = meter.New(parcel.Bytes)
	var done *hub.Pushed
	err := watched(c.ErrOrStderr(), func() string { return transferLine("push", o.Meter.Read()) }, func() (err error) {
		done, err = client.Push(c.Context(), repo, parcel.Files, o)
		return err
	})
	if err != nil {
		return err
	}
	out := c.OutOrStdout()
	if done.Created {
		visible := "public"
		if o.Private {
			visible = "private"
		}
		fmt.Fprintf(out, "created the %s repository %s\n", visible, repo.Name)
	}
	if done.Sent == 0 {
		fmt.Fprintf(out, "%s has all %d files already: nothing was sent\n", repo, done.Kept)
	} else {
		fmt.Fprintf(out, "pushed %d files (%s) to %s, commit %.12s", done.Sent, sizeText(done.SentBytes), repo, done.Commit)
		if done.Kept > 0 {
			fmt.Fprintf(out, "; %d were there already", done.Kept)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out, done.Page)
	return nil
}

// transferLine is how far a transfer is.
func transferLine(what string, m meter.Reading) string {
	if m.Done == 0 {
		return ""
	}
	s := fmt.Sprintf("%s %s of %s, %s/s", what, sizeText(m.Done), sizeText(m.Total), sizeText(int64(m.Rate)))
	if m.ETA >= 0 {
		s += fmt.Sprintf(", %s left", m.ETA.Round(time.Second))
	}
	return s
}

func pullCommand() *cobra.Command {
	var token tokenFlags
	var out string
	var patterns []string
	var parallel int
	c := &cobra.Command{
		Use:   "pull ORG/NAME[@REVISION]",
		Short: "Download a model from the Hugging Face hub",
		Long: `Download all files of a model into the hub's cache, where every command finds it
as ORG/NAME, also without a network; with -o also into a folder. Sizes and hashes
are checked. What has arrived is kept: to resume, run the same command again.

HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN and HF_HUB_OFFLINE mean the same as
for huggingface_hub, which shares the cache.`,
		Example: `  bitnet pull me/my-model
  bitnet pull me/my-model@v1 -o my-model
  bitnet pull me/my-model-gguf --files "*.gguf,Modelfile" -o my-model`,
		Args: exactly(1, "one ORG/NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			repo, err := hub.ParseRepo(hub.Model, args[0])
			if err == nil && parallel < 1 {
				err = fmt.Errorf("--downloads %d must be 1 or more", parallel)
			}
			if err != nil {
				return usageError{err}
			}
			client, err := token.client()
			if err != nil {
				return err
			}
			return pull(c, client, repo, patterns, out, parallel)
		},
	}
	fl := c.Flags()
	fl.StringVarP(&out, "output", "o", "", "new folder to copy the files to")
	fl.StringSliceVar(&patterns, "files", nil, "patterns of the files to download (default all)")
	fl.IntVar(&parallel, "downloads", 4, "files to download at the same time")
	token.add(fl)
	return c
}

// pull downloads a model, and copies it to a folder if out names one.
func pull(c *cobra.Command, client *hub.Client, repo hub.Repo, patterns []string, out string, parallel int) error {
	ctx := c.Context()
	snap, err := client.List(ctx, repo)
	if err != nil {
		return err
	}
	if snap.Partial {
		noteTo(c)("the hub was not asked, and the cache may hold a part of the model only")
	}
	files, err := share.Select(snap, patterns...)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	transfer := client.Start(ctx, snap, files, parallel)
	cached := make([]string, len(files))
	err = watched(c.ErrOrStderr(), func() string {
		m, _ := transfer.Progress()
		return transferLine("pull", m)
	}, func() error {
		for i := range files {
			var err error
			if cached[i], err = transfer.Wait(ctx, i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	where := strings.TrimSuffix(cached[0], files[0].Path)
	if out != "" {
		if err := share.Place(ctx, files, cached, out); err != nil {
			return err
		}
		where = out
	}
	m, _ := transfer.Progress()
	fmt.Fprintf(c.OutOrStdout(), "%d files of %s, %s, commit %.12s\n%s\n", len(files), repo, sizeText(m.Done), snap.Commit, printable.String(where))
	return nil
}
