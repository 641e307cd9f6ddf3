package corpus

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// What preparing costs, for the estimates: measured on common machines, to be
// right within a factor of two.
const (
	textPerToken  = 3.5   // bytes; 2.9 (2,048 tokens) to 4.6 (32,000 and more)
	textPerSecond = 15e6  // bytes that one core encodes
	lineSpeed     = 12e6  // bytes a second of a line of 100 Mbit/s
	spare         = 200e6 // bytes to leave on a disk
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
// the cache and of out do not have it.
func (n Needs) Check(out string, vocab int) (lines []string, err error) {
	shards := n.Shards(vocab)
	lines = append(lines, fmt.Sprintf("text: %d files of %s, about %s of text", n.Files, size(n.Size), size(n.Text)))
	free, disk, err := space(out)
	if err != nil {
		return lines, err
	}
	need := shards
	if n.Cache != "" {
		cacheFree, cacheDisk, err := space(n.Cache)
		if err != nil {
			return lines, err
		}
		if n.Download > 0 {
			lines = append(lines, fmt.Sprintf("download: %s to %s (%s free), %s at 100 Mbit/s",
				size(n.Download), n.Cache, size(cacheFree), about(float64(n.Download)/lineSpeed)))
		}
		if cacheDisk == disk {
			need += n.Download
		} else if n.Download > 0 && n.Download+spare > cacheFree {
			return lines, fmt.Errorf("%s must be downloaded to %s, where %s are free; free some, or set HF_HUB_CACHE to a folder on a larger disk",
				size(n.Download), n.Cache, size(cacheFree))
		}
	}
	cores := runtime.GOMAXPROCS(0)
	lines = append(lines, fmt.Sprintf("token shards: about %s in %s (%s free), %s on %d cores",
		size(shards), out, size(free), about(float64(n.Text)/textPerSecond/float64(cores)), cores))
	if need+spare > free {
		return lines, fmt.Errorf("about %s are needed on the disk of %s, where %s are free; free some, or choose another --out", size(need), out, size(free))
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

func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.0f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d kB", (n+999)/1000)
}

// space says how much is free for path, which need not be there yet, and on
// which disk that is.
func space(path string) (free int64, disk string, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return 0, "", err
	}
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			break
		}
		path = filepath.Dir(path)
	}
	free, disk, err = spaceAt(path)
	if err != nil {
		return 0, "", fmt.Errorf("asking for the free space of %s: %w", path, err)
	}
	return free, disk, nil
}
