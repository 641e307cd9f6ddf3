//go:build js

package browser

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall/js"

	"bitnet/gpu/driver"
)

func init() { driver.Register(&backend{}) }

// backend lists adapters once and opens them.
type backend struct {
	mu    sync.Mutex
	found []adapter
}

// Info names the driver, which is the only one of a browser.
func (*backend) Info() driver.Info { return driver.Info{Name: "browser", Default: true} }

// script is what gpu.js defines.
func script() (js.Value, error) {
	v := js.Global().Get("bitnetGPU")
	if v.IsUndefined() {
		return v, errors.New("browser: the page has not loaded gpu.js: load it before the program")
	}
	return v, nil
}

// Ready says whether there is WebGPU, and what helps where there is none.
func (*backend) Ready() error {
	s, err := script()
	if err != nil {
		return err
	}
	if why := s.Call("missing").String(); why != "" {
		return fmt.Errorf("%s: use a new version of Chrome, Edge, Safari or Firefox, in which it is not switched off", why)
	}
	return nil
}

// adapter is what gpu.js reports about one adapter.
type adapter struct {
	Preference                                string
	Vendor, Architecture, Device, Description string
	Fallback                                  bool
	Features                                  []string
	SubgroupMin, SubgroupMax                  int
	Matrices                                  []driver.MatrixShape
	Limits                                    struct {
		BufferSize             int64 `json:"maxBufferSize"`
		BindingSize            int64 `json:"maxStorageBufferBindingSize"`
		OffsetAlignment        int64 `json:"minStorageBufferOffsetAlignment"`
		StorageBindings        int   `json:"maxStorageBuffersPerShaderStage"`
		WorkgroupMemory        int   `json:"maxComputeWorkgroupStorageSize"`
		WorkgroupInvocations   int   `json:"maxComputeInvocationsPerWorkgroup"`
		WorkgroupSizeX         int   `json:"maxComputeWorkgroupSizeX"`
		WorkgroupsPerDimension int   `json:"maxComputeWorkgroupsPerDimension"`
	}
}

// list keeps what it found, but no failure: a browser may offer a GPU again after
// its driver was restarted.
func (b *backend) list() ([]adapter, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.found != nil {
		return b.found, nil
	}
	if err := b.Ready(); err != nil {
		return nil, err
	}
	s, err := script()
	if err != nil {
		return nil, err
	}
	v, err := await("list adapters", s, "list")
	if err != nil {
		return nil, err
	}
	var found []adapter
	if err := json.Unmarshal([]byte(js.Global().Get("JSON").Call("stringify", v).String()), &found); err != nil {
		return nil, fmt.Errorf("list adapters: %w", err)
	}
	b.found = found
	return found, nil
}

// Adapters lists what the browser gives for high performance and for low power,
// where that is not the same. A browser says little about an adapter, so its kind
// is guessed from its vendor.
func (b *backend) Adapters() ([]driver.Adapter, error) {
	found, err := b.list()
	if err != nil {
		return nil, err
	}
	var out []driver.Adapter
	for _, a := range found {
		out = append(out, a.describe())
	}
	return out, nil
}

func (a adapter) describe() driver.Adapter {
	return driver.Adapter{
		Name:        a.name(),
		Driver:      agent(),
		API:         "WebGPU",
		Kind:        a.kind(),
		Limits:      driver.Limits(a.Limits),
		Features:    slices.Clone(a.Features),
		SubgroupMin: a.SubgroupMin,
		SubgroupMax: a.SubgroupMax,
		Matrices:    a.Matrices,
	}
}

// name puts together what the browser tells: a description, or else vendor,
// architecture and device, of which most browsers leave out some.
func (a adapter) name() string {
	var parts []string
	for _, s := range []string{a.Vendor, a.Architecture, a.Device} {
		if s != "" && !slices.Contains(parts, s) {
			parts = append(parts, s)
		}
	}
	return cmp.Or(a.Description, strings.Join(parts, " "), "GPU")
}

// software are words in the names of adapters that compute on the CPU. Not all of
// them are marked as a fallback.
var software = []string{"swiftshader", "llvmpipe", "lavapipe", "basic render driver"}

func (a adapter) kind() driver.Kind {
	all := strings.ToLower(strings.Join([]string{a.Vendor, a.Architecture, a.Device, a.Description}, " "))
	switch {
	case a.Fallback, slices.ContainsFunc(software, func(s string) bool { return strings.Contains(all, s) }):
		return driver.CPU
	case slices.Contains([]string{"apple", "intel", "qualcomm", "arm"}, strings.ToLower(a.Vendor)):
		return driver.Integrated
	}
	return driver.Discrete
}

// agent names the browser: the last words of its user agent, such as
// "Chrome/141.0.0.0 Safari/537.36".
func agent() string {
	nav := js.Global().Get("navigator")
	if nav.IsUndefined() || nav.Get("userAgent").Type() != js.TypeString {
		return "browser"
	}
	words := strings.Fields(nav.Get("userAgent").String())
	return strings.Join(words[max(0, len(words)-2):], " ")
}

// Open opens an adapter with all of its limits and all features that bitnet knows.
func (b *backend) Open(index int) (driver.Device, error) {
	found, err := b.list()
	if err != nil {
		return nil, err
	}
	if index < 0 || index >= len(found) {
		return nil, fmt.Errorf("browser: there is no adapter %d, only %d adapters", index, len(found))
	}
	s, err := script()
	if err != nil {
		return nil, err
	}
	a := found[index]
	v, err := await("open "+a.name(), s, "open", a.Preference, submissionSize)
	if err != nil {
		return nil, err
	}
	return &device{v: v}, nil
}

// submissionSize is the number of dispatches in one submission: a browser resets a
// GPU that does not answer, and the page is drawn with it too.
const submissionSize = 256
