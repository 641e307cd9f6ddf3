// Package dawn drives Vulkan, Metal and DX12 adapters through Dawn, Google's
// WebGPU, which offers what wgpu-native does not: f16, subgroups, packed dot
// products and matrix units.
//
// Dawn comes as the npm package webgpu, which exports Node's interface and no C
// functions. So it runs in a Node.js process of its own, one for each open
// device, that is handed buffers, kernels and whole programs through pipes and
// then one short message a run. That also keeps a crash of a graphics driver
// out of this process: it is ErrDeviceLost here, and the adapter can be opened
// again.
package dawn

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"

	"bitnet/gpu/driver"
)

// Version is that of the npm package, whose experimental features this package
// and the matrix kernels are written for.
const Version = "0.6.2"

//go:embed child.js
var childSource string

// Driver lists adapters once and opens them.
type Driver struct {
	mu    sync.Mutex
	found []adapter
}

// New returns the driver; no process is started before Adapters or Open is called.
func New() *Driver { return &Driver{} }

// list remembers what it found, but no failure: Dawn may be installed meanwhile.
func (d *Driver) list() ([]adapter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.found == nil {
		found, err := listAdapters()
		if err != nil {
			return nil, err
		}
		d.found = found
	}
	return d.found, nil
}

func (*Driver) Name() string { return "dawn" }

// Folder is where `make dawn` installs: $BITNET_DAWN, or a folder of the user's cache.
func Folder() (string, error) {
	if dir := os.Getenv("BITNET_DAWN"); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("dawn: no folder to install in: %w: set BITNET_DAWN to one", err)
	}
	return filepath.Join(cache, "bitnet", "dawn-"+Version), nil
}

// Installed says whether Dawn can be started, and if not, what to do. It starts nothing.
func Installed() error {
	_, _, err := find()
	return err
}

// find returns the Node.js to run, $BITNET_NODE or the node of the path, and
// Dawn's module for it.
func find() (node, module string, err error) {
	dir, err := Folder()
	if err != nil {
		return "", "", err
	}
	module = filepath.Join(dir, "node_modules", "webgpu", "index.js")
	if _, err := os.Stat(module); err != nil {
		return "", "", fmt.Errorf("dawn: the npm package webgpu %s is not in %s: run make dawn, or use --backend wgpu", Version, dir)
	}
	node = os.Getenv("BITNET_NODE")
	if node == "" {
		node = "node"
	}
	if node, err = exec.LookPath(node); err != nil {
		return "", "", fmt.Errorf("dawn: %w: install Node.js 18 or newer, or use --backend wgpu", err)
	}
	return node, module, nil
}

// adapter is what the child tells about one adapter.
type adapter struct {
	Backend, Name, Vendor, Driver string
	Fallback                      bool
	Features                      []string
	SubgroupMin, SubgroupMax      int
	Matrices                      []driver.MatrixShape
	Limits                        struct {
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

func listAdapters() ([]adapter, error) {
	p, err := start()
	if err != nil {
		return nil, err
	}
	defer p.close()
	answer, err := p.ask("list adapters", message{op: opList}, nil, nil)
	if p.why != "" {
		return nil, fmt.Errorf("dawn: %s: run make dawn again, or use --backend wgpu", p.why)
	}
	if err != nil {
		return nil, fmt.Errorf("dawn: %w", err)
	}
	var found []adapter
	if err := json.Unmarshal(answer, &found); err != nil {
		return nil, fmt.Errorf("dawn: list adapters: %w", err)
	}
	for i := range found {
		prove(&found[i])
	}
	return found, nil
}

// Adapters lists what Dawn finds through Vulkan, Metal and DX12. Of several
// adapters with the same name it can open the first, and lists that. It tells
// discrete from integrated GPUs by their makers.
func (d *Driver) Adapters() ([]driver.Adapter, error) {
	found, err := d.list()
	if err != nil {
		return nil, err
	}
	var out []driver.Adapter
	for _, a := range found {
		out = append(out, a.describe())
	}
	return out, nil
}

var knownFeatures = []string{driver.TimestampQuery, driver.ShaderF16, driver.Subgroups, driver.SubgroupSizeControl, driver.SubgroupMatrix, driver.PackedDot}

func (a adapter) describe() driver.Adapter {
	out := driver.Adapter{
		Name:        a.Name,
		Driver:      fmt.Sprintf("%s (Dawn %s)", a.Driver, Version),
		API:         map[string]string{"vulkan": "Vulkan", "metal": "Metal", "d3d12": "DX12"}[a.Backend],
		Kind:        a.kind(),
		Limits:      driver.Limits(a.Limits),
		SubgroupMin: a.SubgroupMin,
		SubgroupMax: a.SubgroupMax,
		Matrices:    a.Matrices,
	}
	for _, f := range knownFeatures {
		if slices.Contains(a.Features, f) {
			out.Features = append(out.Features, f)
		}
	}
	return out
}

func (a adapter) kind() driver.Kind {
	switch {
	case a.Fallback:
		return driver.CPU
	case a.Vendor == "nvidia":
		return driver.Discrete
	case a.Vendor == "apple" || a.Vendor == "intel" || a.Vendor == "qualcomm" || a.Vendor == "arm":
		return driver.Integrated
	}
	return driver.Discrete
}

// Open starts a process for an adapter, with all of the adapter's limits.
func (d *Driver) Open(index int) (driver.Device, error) {
	found, err := d.list()
	if err != nil {
		return nil, err
	}
	if index < 0 || index >= len(found) {
		return nil, fmt.Errorf("dawn: there is no adapter %d, only %d adapters", index, len(found))
	}
	return open(found[index])
}
