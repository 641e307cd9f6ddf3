package report

import (
	"errors"
	"strings"
	"time"

	"bitnet/gpu"
	"bitnet/graph"
)

// request is what the process of a part is told.
type request struct {
	Kind      Kind     `json:"kind"`
	Backend   string   `json:"backend"`
	Precision string   `json:"precision"`
	Device    string   `json:"device"` // the adapter's name
	Seconds   float64  `json:"seconds"`
	Checked   bool     `json:"checked"` // its units were checked, and those in Without are wrong
	Without   []string `json:"without"`
	Tuning    string   `json:"tuning"` // a file of bitnet tune
	GFlops    float64  `json:"gflops"` // that the adapter was measured to reach in f32; 0 if unknown
	Target    *target  `json:"target"` // the step that PyTorch is to take
	Mode      string   `json:"mode"`   // of PyTorch
	Python    string   `json:"python"`
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

// plan lists the parts. On a CPU a second backend comes last and is only checked:
// it is slower there, and nobody trains through it.
func (m machine) plan() (out []item) {
	fast := m.backends
	if m.cpu {
		fast = fast[:1]
	}
	out = append(out, m.correctness(fast)...)
	for _, b := range fast {
		out = append(out, m.part(kindPeak, b, "", 12, 4))
	}
	if !m.cpu {
		for _, b := range fast {
			out = append(out, m.part(kindTune, b, "", 25, 5))
		}
	}
	for _, b := range fast {
		for i, p := range precisions() {
			share := 30.0
			if m.cpu { // which has no units that fewer bits could use
				share = []float64{70, 10, 10}[i]
			}
			out = append(out, m.part(kindStep, b, p, share, 5))
		}
	}
	for _, b := range fast {
		out = append(out, m.part(kindKernels, b, graph.AutoPrecision, 40, 8))
	}
	if m.torch {
		for _, mode := range torchModes(m.cpu) {
			out = append(out, item{string(kindTorch) + " " + mode, 25, 10, request{Kind: kindTorch, Mode: mode, Device: m.name}})
		}
	}
	for _, b := range fast {
		out = append(out, m.part(kindGenerate, b, "", 20, 5))
	}
	return append(out, m.correctness(m.backends[len(fast):])...)
}

// correctness are the parts that say whether backends compute right.
func (m machine) correctness(backends []string) (out []item) {
	for _, b := range backends {
		out = append(out, m.part(kindAdapter, b, "", 20, 1))
	}
	for _, b := range backends {
		out = append(out, m.part(kindChecks, b, "", 45, 3))
		for _, p := range precisions() {
			out = append(out, m.part(kindParity, b, p, 12, 3))
		}
	}
	return out
}

func (m machine) part(kind Kind, backend, precision string, share, least float64) item {
	name := strings.TrimSpace(string(kind) + " " + backend + " " + precision)
	return item{name, share, least, request{Kind: kind, Backend: backend, Precision: precision, Device: m.name}}
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
