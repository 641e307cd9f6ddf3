package gpu

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu/driver"
)

func TestUpgrade(t *testing.T) {
	adapter := func(backend, name string, kind Kind, matrices ...MatrixShape) Adapter {
		return Adapter{Adapter: driver.Adapter{Name: name, API: "Vulkan", Kind: kind, Matrices: matrices}, Backend: backend}
	}
	units := MatrixShape{M: 16, N: 16, K: 16, Component: "f16", Result: "f32"}
	found := []Adapter{
		adapter("wgpu", "llvmpipe", CPU),
		adapter("wgpu", "RTX 3060", Discrete),
		adapter("wgpu", "RTX 3060", Discrete),
		adapter("wgpu", "UHD 630", Integrated),
		adapter("wgpu", "Arc", Discrete),
	}
	found[1].VendorID = 0x10de
	others := complete([]Adapter{
		adapter("dawn", "Arc", Integrated, units),
		adapter("dawn", "UHD 630", Integrated),
		adapter("dawn", "RTX 3060", Discrete, units),
		adapter("dawn", "llvmpipe", CPU, units),
		adapter("dawn", "unknown", Discrete, units),
	}, found)
	require.Equal(t, Discrete, others[0].Kind, "wgpu knows better")
	require.EqualValues(t, 0x10de, others[2].VendorID)
	require.Equal(t, Discrete, others[4].Kind)

	var backends []string
	for _, a := range upgrade(found, others) {
		backends = append(backends, a.Backend+" "+a.Name)
	}
	require.Equal(t, []string{"wgpu llvmpipe", "dawn RTX 3060", "wgpu RTX 3060", "wgpu UHD 630", "dawn Arc"}, backends)
}

// listed is a driver that lists adapters and counts how often it was asked.
type listed struct {
	info  driver.Info
	ready error
	found []driver.Adapter
	err   error
	asked *[]string
}

func (l listed) Info() driver.Info { return l.info }

func (l listed) Ready() error { return l.ready }

func (l listed) Adapters() ([]driver.Adapter, error) {
	*l.asked = append(*l.asked, l.info.Name)
	return l.found, l.err
}

func (l listed) Open(int) (driver.Device, error) { return nil, errors.New("not for opening") }

func TestAuto(t *testing.T) {
	units := []MatrixShape{{M: 16, N: 16, K: 16, Component: "f16", Result: "f32"}}
	card := driver.Adapter{Name: "card", Kind: Discrete, VendorID: 7}
	cpu := driver.Adapter{Name: "cpu", Kind: CPU}
	fast := driver.Adapter{Name: "card", Kind: Integrated, Matrices: units}
	no := errors.New("main: cannot be used")
	var asked []string
	first := listed{info: driver.Info{Name: "main", Default: true}, asked: &asked}
	second := listed{info: driver.Info{Name: "second", AfterDefault: true, Install: "make second"}, found: []driver.Adapter{fast}, asked: &asked}
	apart := listed{info: driver.Info{Name: "apart"}, found: []driver.Adapter{fast}, asked: &asked}
	with := func(l listed, ready, err error, found ...driver.Adapter) listed {
		l.ready, l.err = ready, err
		if found != nil {
			l.found = found
		}
		return l
	}

	for _, tt := range []struct {
		name  string
		all   drivers
		want  []string // backend and kind
		asked []string
		err   string
	}{
		{"matrix units through the second", drivers{with(first, nil, nil, cpu, card), apart, second}, []string{"main CPU", "second discrete GPU"}, []string{"main", "second"}, ""},
		{"the second is not asked for a CPU", drivers{with(first, nil, nil, cpu), apart, second}, []string{"main CPU"}, []string{"main"}, ""},
		{"the second is not installed", drivers{with(first, nil, nil, card), with(second, no, nil)}, []string{"main discrete GPU"}, []string{"main"}, ""},
		{"the second fails", drivers{with(first, nil, nil, card), with(second, nil, no)}, []string{"main discrete GPU"}, []string{"main", "second"}, ""},
		{"the default fails", drivers{with(first, nil, no), second}, nil, []string{"main"}, "list adapters: main: cannot be used"},
		{"the default is not ready", drivers{with(first, no, nil), second}, []string{"second integrated GPU"}, []string{"second"}, ""},
		{"no default", drivers{apart}, []string{"apart integrated GPU"}, []string{"apart"}, ""},
		{"none is ready", drivers{with(first, no, nil), with(apart, no, nil), with(second, no, nil)}, nil, nil, "main: cannot be used; or install the backend second: make second"},
		{"no driver", nil, nil, nil, "this build has no GPU backend"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked = nil
			found, err := tt.all.auto()
			require.Equal(t, tt.asked, asked)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			var got []string
			for _, a := range found {
				got = append(got, a.Backend+" "+a.Kind.String())
			}
			require.Equal(t, tt.want, got)
		})
	}

	// By name, a driver that comes after the default gets kinds and ids from it.
	asked = nil
	found, err := drivers{with(first, nil, nil, card), second}.adapters(second)
	require.NoError(t, err)
	require.Equal(t, []string{"main", "second"}, asked)
	require.Equal(t, Discrete, found[0].Kind)
	require.EqualValues(t, 7, found[0].VendorID)
	require.Equal(t, units, found[0].Matrices)
	found, err = drivers{with(first, nil, no), second}.adapters(second)
	require.NoError(t, err, "without the default")
	require.Equal(t, Integrated, found[0].Kind)
	_, err = drivers{first, with(second, nil, no)}.adapters(with(second, nil, no))
	require.ErrorContains(t, err, "cannot be used")
}
