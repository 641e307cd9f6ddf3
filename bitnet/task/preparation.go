package task

import (
	"bitnet/data/meter"
	"bitnet/data/shard"
)

// Preparation is how far data is on its way to the first batch.
type Preparation struct {
	Downloads meter.Reading // bytes
	Fetched   int           // files
	Files     int
	Sampled   int64 // bytes of text read to train a tokenizer on
	Sample    int64 // about how many it will be; 0 without such training
	Shards    shard.Progress
}
