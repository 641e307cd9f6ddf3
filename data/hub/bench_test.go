//go:build !js

package hub

import (
	"testing"

	"bitnet/data/hub/hubtest"

	"github.com/stretchr/testify/require"
)

func BenchmarkDownload(b *testing.B) {
	const size = 64 << 20
	s := hubtest.New(b)
	s.Add("datasets", "org/name", map[string][]byte{"a.parquet": noise(1, size/2), "b.parquet": noise(2, size/2)})
	b.SetBytes(size)
	for b.Loop() {
		c := client(b, s, nil)
		snap, err := c.List(b.Context(), dataset(b, "org/name"))
		require.NoError(b, err)
		_, err = c.downloadAll(b.Context(), snap, snap.Files, 2)
		require.NoError(b, err)
	}
}
