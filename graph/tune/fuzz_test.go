package tune

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bitnet/gpu"
)

// Whatever a tuning file holds, it is read, or refused in one line; what is read is
// written and read again as the same.
func FuzzReadFile(f *testing.F) {
	f.Add([]byte(`{"adapter":"a","products":{}}`))
	f.Add([]byte(`{"kernels":"k","products":{"p":{"variant":"v","seconds":1e-3,"default_seconds":2}}}`))
	f.Add([]byte(`{"products":{"p":{"seconds":-1e308,"cut":true}}}`))
	path := filepath.Join(f.TempDir(), "t.json")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		file, err := ReadFile(path)
		if err != nil {
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "json:") {
				t.Fatalf("%q gives %q", text, err)
			}
			return
		}
		_ = file.Fresh()
		if err := file.Fits(gpu.Adapter{}); err != nil && strings.Contains(err.Error(), "\n") {
			t.Fatalf("%q gives %q", text, err)
		}
		variants := file.Products.Variants()
		for key, c := range file.Products {
			_ = c.Gain()
			if variants[key] != c.Variant {
				t.Fatalf("%q: the variant of %q is lost", text, key)
			}
		}
	})
}
