package corpus

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"bitnet/data/disk"
)

// What preparing costs, for the estimates: measured on common machines, to be
// right within a factor of two.
const (
	textPerToken  = 3.5       // bytes; 2.9 (2,048 tokens) to 4.6 (32,000 and more)
	textPerSecond = 15e6      // bytes that one core encodes
	lineSpeed     = 12e6      // bytes a second over a line of 100 Mbit/s
	spare         = 200 << 20 // bytes to leave free on a disk
)

// Shards is about how many bytes the token shards take.
func (n Needs) Shards(vocab int) int64 {
	width := 2.0
	if vocab > 1<<16 {
		width = 4
	}
	return int64(float64(n.Text) / textPerToken * width)
}

// Check says in a few lines what the corpus needs, and fails if the disks of
// the cache and of out are too small.
func (n Needs) Check(out string, vocab int) (lines []string, err error) {
	shards := n.Shards(vocab)
	lines = append(lines, fmt.Sprintf("text: %d files of %s, about %s of text", n.Files, disk.Size(n.Size), disk.Size(n.Text)))
	free, device, err := disk.Free(out)
	if errors.Is(err, errors.ErrUnsupported) { // in a browser: what does not fit fails when it is written
		return append(lines, fmt.Sprintf("token shards: about %s in %s", disk.Size(shards), out)), nil
	}
	if err != nil {
		return lines, err
	}
	need := shards
	if n.Cache != "" {
		cacheFree, cacheDisk, err := disk.Free(n.Cache)
		if err != nil {
			return lines, err
		}
		if n.Download > 0 {
			lines = append(lines, fmt.Sprintf("download: %s to %s (%s free), %s at 100 Mbit/s",
				disk.Size(n.Download), n.Cache, disk.Size(cacheFree), about(float64(n.Download)/lineSpeed)))
		}
		if cacheDisk == device {
			need += n.Download
		} else if n.Download > 0 && n.Download+spare > cacheFree {
			return lines, fmt.Errorf("%s must be downloaded to %s, where %s are free and %s must stay free; free some, or set HF_HUB_CACHE to a folder on a larger disk",
				disk.Size(n.Download), n.Cache, disk.Size(cacheFree), disk.Size(spare))
		}
	}
	cores := runtime.GOMAXPROCS(0)
	lines = append(lines, fmt.Sprintf("token shards: about %s in %s (%s free), %s on %d cores",
		disk.Size(shards), out, disk.Size(free), about(float64(n.Text)/textPerSecond/float64(cores)), cores))
	if need+spare > free {
		return lines, fmt.Errorf("about %s are needed on the disk of %s, where %s are free and %s must stay free; free some, or choose a different --output",
			disk.Size(need), out, disk.Size(free), disk.Size(spare))
	}
	return lines, nil
}

func about(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < 2*time.Hour:
		return fmt.Sprintf("about %d min", int(d.Minutes()+0.5))
	}
	return fmt.Sprintf("about %.0f h", d.Hours())
}
