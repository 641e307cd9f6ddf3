package bitnet

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"bitnet/data/atomicfile"
)

// writeProvenance records what the run was made of.
func (t *Trainer) writeProvenance(start Start) error {
	a := t.dev.Adapter()
	p := map[string]any{
		"started": time.Now().UTC().Format(time.RFC3339), "command": os.Args, "go": runtime.Version(),
		"os": runtime.GOOS, "arch": runtime.GOARCH, "seed": t.Config.Train.Seed,
		"device": a.Name, "driver": a.Driver, "backend": a.Backend, "parameters": t.model.Params.Count(),
	}
	if start.Init != "" {
		p["init"] = start.Init
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" || s.Key == "vcs.modified" {
				p[s.Key] = s.Value
			}
		}
		for _, d := range info.Deps {
			if d.Path == "github.com/cogentcore/webgpu" {
				p["webgpu"] = d.Version
			}
		}
	}
	sum, err := t.firstTokens()
	if err != nil {
		return err
	}
	p["first_1000_tokens_sha256"] = sum
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(t.Dir, "provenance.json"), append(text, '\n'))
}

// firstTokens is the SHA-256 of the first 1,000 input ids, as little-endian uint32.
func (t *Trainer) firstTokens() (string, error) {
	src, h, left := t.corpus.train, sha256.New(), 1000
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
