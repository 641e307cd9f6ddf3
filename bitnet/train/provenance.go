package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"bitnet/bitnet/runs"
)

// writeProvenance records what the run was made of.
func (t *Trainer) writeProvenance(init string) error {
	a := t.dev.Adapter()
	p := runs.Provenance{
		Started: time.Now().UTC().Truncate(time.Second), Command: withoutSecrets(os.Args), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Seed: t.Config.Train.Seed, Device: a.Name, Driver: a.Driver, Backend: a.Backend, Parameters: t.model.Params.Count(), Init: init,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				p.Revision = s.Value
			case "vcs.modified":
				p.Modified = s.Value
			}
		}
		for _, d := range info.Deps {
			if d.Path == "github.com/cogentcore/webgpu" {
				p.WebGPU = d.Version
			}
		}
	}
	var err error
	if p.FirstTokens, err = t.firstTokens(); err != nil {
		return err
	}
	return t.Run.WriteProvenance(p)
}

// firstTokens is the SHA-256 of the first 1,000 input ids, as little-endian uint32.
func (t *Trainer) firstTokens() (string, error) {
	src, h, left := t.task.Train(), sha256.New(), 1000
	at := src.Position()
	b := t.batches[0]
	for left > 0 {
		if err := src.Next(b); err != nil {
			return "", err
		}
		for _, id := range b.Inputs[:min(left, len(b.Inputs))] {
			if err := binary.Write(h, binary.LittleEndian, id); err != nil {
				return "", err
			}
			left--
		}
	}
	return hex.EncodeToString(h.Sum(nil)), src.Seek(at)
}

// inURL is the user and password, or the token, of a URL.
var inURL = regexp.MustCompile(`//[^@/]*@`)

// withoutSecrets is a command line without what gives access to a swarm: it is
// stored with the run, and shown by bitnet dash.
func withoutSecrets(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		switch {
		case i > 0 && args[i-1] == "--swarm-token":
			a = "..."
		case strings.HasPrefix(a, "--swarm-token="):
			a = "--swarm-token=..."
		}
		out[i] = inURL.ReplaceAllString(a, "//...@")
	}
	return out
}
