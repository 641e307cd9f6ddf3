package tensorboard

import "bitnet/bitnet/runs"

func Create(dir string, next int64) (runs.Sink, error) { return nil, nil }
