package tokenizer

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// EncodeAll is Encode of many texts on all cores; ids[i] is of texts[i]. Of
// several errors it gives that of the first text.
func (t *Tokenizer) EncodeAll(texts []string) (ids [][]uint32, err error) {
	ids = make([][]uint32, len(texts))
	errs := make([]error, len(texts))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(texts)) {
		workers.Go(func() {
			var room []uint32
			for {
				i := int(next.Add(1)) - 1
				if i >= len(texts) {
					return
				}
				if room, errs[i] = t.Append(room[:0], texts[i]); errs[i] == nil {
					ids[i] = append(make([]uint32, 0, len(room)), room...)
				}
			}
		})
	}
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}
