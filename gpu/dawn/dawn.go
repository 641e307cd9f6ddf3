// Package dawn drives Vulkan, Metal and DX12 adapters through Dawn, Google's
// WebGPU, which offers what wgpu-native does not: f16, subgroups, packed dot
// products and matrix units.
//
// Dawn comes as the npm package webgpu, which has an interface for Node.js and no
// C functions. It therefore runs in a Node.js process, one for each open device,
// that receives buffers, kernels and whole programs through pipes and then one
// short message a run. A crash of a graphics driver does not reach this process
// either: it becomes ErrDeviceLost, and the adapter can be opened again.
//
// The package registers its driver.
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

// install is the command that installs Dawn.
const install = "make dawn"

func init() { driver.Register(&backend{}) }

// backend lists adapters once and opens them. It starts no process before
// Adapters or Open is called.
type backend struct {
	mu    sync.Mutex
	found []adapter
}

// Info asks for the default driver first: it sets environment variables that the
// child inherits, and knows discrete from integrated GPUs and their ids.
func (*backend) Info() driver.Info {
	return driver.Info{Name: "dawn", AfterDefault: true, Install: install}
}

func (*backend) Ready() error { return Installed() }

// list keeps what it found, but no failure: the user may install Dawn meanwhile.
func (d *backend) list() ([]adapter, error) {
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

// Installed returns nil if Dawn can be started, or an error that says what to
// do. It starts nothing.
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
		return "", "", fmt.Errorf("dawn: the npm package webgpu %s is not in %s: run %s, or use --backend wgpu", Version, dir, install)
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

// adapter is what the child reports about one adapter.
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
		return nil, fmt.Errorf("dawn: %s: run %s again, or use --backend wgpu", p.why, install)
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
// adapters with the same name it lists the first, which is the only one that it
// can open. It guesses from the vendor whether a GPU is discrete or integrated.
func (d *backend) Adapters() ([]driver.Adapter, error) {
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
func (d *backend) Open(index int) (driver.Device, error) {
	found, err := d.list()
	if err != nil {
		return nil, err
	}
	if index < 0 || index >= len(found) {
		return nil, fmt.Errorf("dawn: there is no adapter %d, only %d adapters", index, len(found))
	}
	return open(found[index])
}
