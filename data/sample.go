package data

import "fmt"

// Counted is a Source that knows how many samples an epoch has.
type Counted interface {
	Source
	// Epoch is how many samples an epoch has; known is false while the data is
	// still growing.
	Epoch() (samples int64, known bool)
}

// SeekSample moves a source to sample n, counted over all epochs from 0.
func SeekSample(s Source, n int64) error {
	if n < 0 {
		return fmt.Errorf("there is no sample %d", n)
	}
	place := func() Position {
		if c, ok := s.(Counted); ok {
			if each, known := c.Epoch(); known && each > 0 {
				return Position{Epoch: n / each, Offset: n % each}
			}
		}
		return Position{Offset: n}
	}
	p := place()
	err := s.Seek(p)
	if again := place(); err != nil && again != p {
		return s.Seek(again) // the data became complete while it was waited for
	}
	return err
}

// Epoch is the number of windows.
func (t *Tokens) Epoch() (samples int64, known bool) { return t.windows, true }
