package cost

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
)

// Device is a card with the peaks that its maker states.
type Device struct {
	Name      string  `json:"name"`
	F32       float64 `json:"f32_tflops"`        // of its shaders
	F16Matrix float64 `json:"f16_matrix_tflops"` // of its matrix units, dense, added in float32 where that differs; 0 for none
	Memory    float64 `json:"memory_gb"`
	Bandwidth float64 `json:"bandwidth_gb_s"`
}

//go:embed devices.csv
var table string

// Devices are the cards of the table: public datasheet figures, none of them
// measured here.
func Devices() []Device {
	rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil {
		panic(err) // the file is embedded, and a test reads it
	}
	var out []Device
	for _, row := range rows[1:] {
		d := Device{Name: row[0]}
		for i, to := range []*float64{&d.F32, &d.F16Matrix, &d.Memory, &d.Bandwidth} {
			if *to, err = strconv.ParseFloat(row[i+1], 64); err != nil {
				panic(err)
			}
		}
		out = append(out, d)
	}
	return out
}

// Find returns the one card that want means: its name, or a part of it that
// only one has. Case does not matter.
func Find(want string) (Device, error) {
	part := strings.ToLower(strings.TrimSpace(want))
	var found []Device
	var names []string
	for _, d := range Devices() {
		name := strings.ToLower(d.Name)
		if name == part || strings.HasSuffix(name, " "+part) {
			return d, nil
		}
		if strings.Contains(name, part) {
			found = append(found, d)
			names = append(names, d.Name)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1 && part != "":
		return Device{}, fmt.Errorf("%q can be %s: give more of the name", want, strings.Join(names, ", "))
	}
	return Device{}, fmt.Errorf("no card in the table is called %q: see docs/cost.md, or measure with --device this or --bench FILE", want)
}
