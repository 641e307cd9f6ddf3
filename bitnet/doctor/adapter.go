package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"bitnet/gpu"
	"bitnet/gpu/driver"
)

// adapter says what training would use.
func adapter(all []gpu.Adapter, chosen gpu.Adapter, err error) Finding {
	switch {
	case err != nil && len(all) == 0:
		if _, e := os.Stat(filepath.Join(".vulkan", "env")); e == nil {
			return fail("this folder has a driver of its own: type `. .vulkan/env` and try again", "%v", err)
		}
		return fail("install your card's driver, or run gpu/install-vulkan.sh to compute on the CPU", "%v", err)
	case err != nil:
		return fail("see bitnet devices", "%v", err)
	}
	more := ""
	if len(all) > 1 {
		more = fmt.Sprintf(", the best of %d (choose a different one with --device)", len(all))
	}
	return ok("%s: %s, %s through %s%s", chosen.Name, chosen.Kind, chosen.API, chosen.Backend, more)
}

// maker is who made a card, by its PCI vendor.
type maker struct {
	id   string
	name string
	do   string
}

var makers = []maker{
	{"0x10de", "NVIDIA", "install NVIDIA's driver with its Vulkan part (Debian: nvidia-driver nvidia-vulkan-icd); in a container, set NVIDIA_DRIVER_CAPABILITIES=all"},
	{"0x1002", "AMD", "install Mesa's Vulkan drivers (Debian: mesa-vulkan-drivers), and add this user to the group render"},
	{"0x8086", "Intel", "install Mesa's Vulkan drivers (Debian: mesa-vulkan-drivers), and add this user to the group render"},
}

// cards lists the makers of the display controllers (PCI class 3) that Linux
// shows in a folder of devices.
func cards(devices string) []maker {
	classes, _ := filepath.Glob(filepath.Join(devices, "*", "class"))
	var out []maker
	for _, path := range classes {
		class, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(class), "0x03") {
			continue
		}
		vendor, err := os.ReadFile(filepath.Join(filepath.Dir(path), "vendor"))
		if err != nil {
			continue
		}
		for _, m := range makers {
			if strings.TrimSpace(string(vendor)) == m.id {
				out = append(out, m)
			}
		}
	}
	return out
}

// card finds cards in the machine that no driver offers.
func card(inside []maker, all []gpu.Adapter) Finding {
	for _, m := range inside {
		id, _ := strconv.ParseUint(m.id, 0, 32)
		if !slices.ContainsFunc(all, func(a gpu.Adapter) bool { return uint64(a.VendorID) == id }) {
			return warn(m.do, "this machine has a card by %s, but no driver offers it", m.name)
		}
	}
	if isGPU := func(a gpu.Adapter) bool { return a.Kind != gpu.CPU }; slices.ContainsFunc(all, isGPU) {
		return ok("every card that was found has a driver")
	}
	return ok("no graphics card was found: the CPU is enough for simple, tictactoe and arithmetic")
}

var mesa = regexp.MustCompile(`Mesa (\d+)\.(\d+)`)

// oldest version of Mesa whose lavapipe was measured at full speed; that of
// Debian 12 (22.3) multiplies matrices four to six times slower.
const oldestMesa = 25

// softwareVersion looks at the age of a driver that computes on the CPU.
func softwareVersion(a gpu.Adapter) Finding {
	m := mesa.FindStringSubmatch(a.Driver)
	if a.Kind != gpu.CPU || m == nil {
		return ok("%s", a.Driver)
	}
	if major, _ := strconv.Atoi(m[1]); major < oldestMesa {
		return warn("run gpu/install-vulkan.sh --force: it takes a newer one where the system has it",
			"lavapipe of Mesa %s.%s: several times slower than that of Mesa %d", m[1], m[2], oldestMesa)
	}
	switch {
	case a.Has(gpu.UniformTable):
	case runtime.GOOS == "linux" && runtime.GOARCH == "arm64":
		return ok("%s; the program for Linux on Arm has no uniform table (docs/install.md), so it uses the slower kernels", a.Driver)
	default:
		return warn("update Mesa", "%s offers no uniform table (push constants): the slower kernels are used", a.Driver)
	}
	return ok("%s", a.Driver)
}

// hugePages looks at whether Linux gives huge pages to a program that asks for them, as
// bitnet does for lavapipe's buffers.
func hugePages(setting string) Finding {
	const (
		enable = "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"
		cost   = "training on the CPU takes longer, up to 1.5 times on a busy virtual machine"
	)
	switch text, err := os.ReadFile(setting); {
	case err != nil:
		return warn("use a kernel with transparent huge pages", "this system has none: %s", cost)
	case strings.Contains(string(text), "[never]"):
		return warn(enable, "this system gives none: %s", cost)
	}
	return ok("lavapipe's buffers use them")
}

// square is y = x x + 1.
const square = `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
	if id.x < arrayLength(&x) { y[id.x] = x[id.x] * x[id.x] + 1.0; }
}
`

// runKernel opens an adapter, compiles a kernel, runs it and checks its result.
func runKernel(a gpu.Adapter) Finding {
	const do = "update the graphics driver, or choose another adapter with --device"
	began := time.Now()
	dev, err := a.Open()
	if err != nil {
		return fail(do, "cannot open %s: %v", a.Name, err)
	}
	defer dev.Close()
	x := make([]float32, 1000)
	for i := range x {
		x[i] = float32(i)
	}
	y := make([]float32, len(x))
	if err := compute(dev, x, y); err != nil {
		return fail(do, "a small kernel failed: %v", err)
	}
	for i := range x {
		if want := x[i]*x[i] + 1; y[i] != want {
			return fail(do, "a small kernel computed %g instead of %g", y[i], want)
		}
	}
	return ok("opened, compiled and ran a small kernel in %d ms; its result is correct", time.Since(began).Milliseconds())
}

func compute(dev *gpu.Device, x, y []float32) error {
	size := int64(4 * len(x))
	in, err := dev.NewBuffer("doctor x", size)
	if err != nil {
		return err
	}
	out, err := dev.NewBuffer("doctor y", size)
	if err != nil {
		return err
	}
	k, err := dev.Kernel("doctor", square, gpu.Read, gpu.ReadWrite)
	if err != nil {
		return err
	}
	p, err := dev.NewProgram("doctor", []gpu.Dispatch{{
		Kernel: k, Bindings: []gpu.Binding{{Buffer: in}, {Buffer: out}}, Groups: [3]uint32{uint32(len(x)+63) / 64, 1, 1},
	}})
	if err == nil {
		err = in.Write(0, gpu.Bytes(x))
	}
	if err == nil {
		err = p.Run()
	}
	if err != nil {
		return err
	}
	return out.Read(0, gpu.Bytes(y))
}

func timestamps(a gpu.Adapter) Finding {
	if a.Has(gpu.TimestampQuery) {
		return ok("kernels can be timed one by one")
	}
	return warn("update the driver if you want bench step to time single kernels",
		"this adapter has no timestamps: bench step times whole steps only")
}

// optional looks at a backend that is installed separately; err is why it cannot
// be used.
func optional(b driver.Info, chosen gpu.Adapter, err error) Finding {
	switch {
	case chosen.Backend == b.Name:
		return ok("in use")
	case err == nil:
		return ok("installed; --backend %s uses it", b.Name)
	case chosen.Name == "" || chosen.Kind == gpu.CPU:
		return ok("not installed; only a GPU has a use for it")
	}
	return warn("run "+b.Install, "a second GPU backend that can use matrix units is not installed: %v", err)
}
