package report

import (
	"errors"
	"time"

	"bitnet/gpu"
	"bitnet/graph"
)

// request is what the process of a part is told.
type request struct {
	Kind      Kind    `json:"kind"`
	Backend   string  `json:"backend"`
	Precision string  `json:"precision"`
	Device    string  `json:"device"` // the adapter's name
	Seconds   float64 `json:"seconds"`
	Tuning    string  `json:"tuning"` // a file of bitnet tune
	GFlops    float64 `json:"gflops"` // that the adapter was measured to reach in f32; 0 if unknown
	Target    *target `json:"target"` // the step that PyTorch is to take
	Mode      string  `json:"mode"`   // of PyTorch
	Python    string  `json:"python"`
}

// target is a step that was measured, and that PyTorch is to take too.
type target struct {
	Experiment                   string
	BatchSize, SeqLen, GradAccum int
}

// item is a part to measure.
type item struct {
	name  string
	share float64 // of the time, compared with the others
	least float64 // seconds below which it is not worth to start
	request
}

// machine is what the parts depend on.
type machine struct {
	name     string   // of the adapter
	cpu      bool     // it computes on the CPU
	main     string   // the backend that training would use
	backends []string // the main one first
	torch    bool     // there is a PyTorch for this card
}

// find chooses the adapter, and finds the backends that reach it.
func find(backend, device string) (machine, error) {
	all, err := gpu.AdaptersOf(backend)
	if err != nil {
		return machine{}, err
	}
	i, err := gpu.Choose(all, device)
	if err != nil {
		return machine{}, err
	}
	a := all[i]
	m := machine{name: a.Name, cpu: a.Kind == gpu.CPU, main: a.Backend, backends: []string{a.Backend}}
	if backend != "" && backend != "auto" {
		return m, nil
	}
	for _, b := range gpu.Backends() {
		if b == "auto" || b == m.main {
			continue
		}
		if others, err := gpu.AdaptersOf(b); err == nil {
			for _, o := range others {
				if o.Name == a.Name && o.API == a.API {
					m.backends = append(m.backends, b)
					break
				}
			}
		}
	}
	return m, nil
}

// plan lists the parts. On a CPU the second backend is only checked: it is slower
// there, and the time is short.
func (m machine) plan() []item {
	var out []item
	add := func(kind Kind, backend, precision string, share, least float64) {
		name := string(kind) + " " + backend
		if precision != "" {
			name += " " + precision
		}
		out = append(out, item{name, share, least, request{Kind: kind, Backend: backend, Precision: precision, Device: m.name}})
	}
	for _, b := range m.backends {
		add(KindAdapter, b, "", 2, 1)
	}
	for _, b := range m.backends {
		add(KindChecks, b, "", 45, 3)
		for _, p := range precisions() {
			add(KindParity, b, p, 12, 3)
		}
	}
	fast := m.backends
	if m.cpu {
		fast = fast[:1]
	}
	for _, b := range fast {
		add(KindPeak, b, "", 12, 4)
	}
	if !m.cpu {
		for _, b := range fast {
			add(KindTune, b, "", 25, 5)
		}
	}
	for _, b := range fast {
		for _, p := range precisions() {
			add(KindStep, b, p, 30, 5)
		}
	}
	for _, b := range fast {
		add(KindKernels, b, "auto", 30, 8)
	}
	if m.torch {
		for _, mode := range torchModes(m.cpu) {
			out = append(out, item{"torch " + mode, 25, 10, request{Kind: KindTorch, Mode: mode, Device: m.name}})
		}
	}
	for _, b := range fast {
		add(KindGenerate, b, "", 20, 5)
	}
	return out
}

func precisions() []string {
	return []string{graph.Float32.String(), graph.Mixed.String(), graph.IntegerGradients.String()}
}

var errNoTime = errors.New("no time was left: give more --minutes")

// limit is how long part i may take: its share of what is left, of which parts
// that ended early leave more to the later ones.
func limit(parts []item, i int, left time.Duration) (time.Duration, error) {
	sum := 0.0
	for _, p := range parts[i:] {
		sum += p.share
	}
	d := time.Duration(float64(left) * parts[i].share / sum)
	least := time.Duration(parts[i].least * float64(time.Second))
	switch {
	case d >= least:
		return d, nil
	case left >= 2*least: // what comes later matters less
		return least, nil
	}
	return 0, errNoTime
}
