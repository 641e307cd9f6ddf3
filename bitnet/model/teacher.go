package model

import (
	"fmt"

	"bitnet/bitnet/modelfile"
	"bitnet/gpu"
	"bitnet/graph"
)

// Teacher is a frozen model whose logits a training step draws those of its own model to:
// a float model of the Llama form, or a ternary one.
type Teacher struct {
	Config      modelfile.Config
	Float       bool // it is of the Llama form
	Weight      float64
	Temperature float64 // both are those of graph.Teacher
}

// teaching is a teacher on a device.
type teaching struct {
	Teacher
	float   *float // one of the two
	ternary *Model
}

func (t Teacher) declare(a gpu.Adapter) (_ *teaching, err error) {
	out := &teaching{Teacher: t}
	if t.Float {
		out.float, err = newFloat(t.Config, a, false)
	} else {
		out.ternary, err = New(t.Config, a, graph.ForInference, "f32")
	}
	if err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	return out, nil
}

func (t *teaching) params() *graph.Params {
	if t.Float {
		return t.float.params
	}
	return t.ternary.Params
}

// logits declares the teacher's operations in the graph of a step.
func (t *teaching) logits(g *graph.Graph) graph.Teacher {
	out := graph.Teacher{Weight: t.Weight, Temperature: t.Temperature}
	g.Beside("teacher", t.params(), func() {
		if t.Float {
			out.X, out.Table = t.float.forward(g), t.float.embed
		} else {
			out.X, out.Table = t.ternary.forward(g), t.ternary.embed
		}
	})
	return out
}

// TeacherParameters is the number of the teacher's values; 0 without one.
func (m *Model) TeacherParameters() int64 {
	if m.teacher == nil {
		return 0
	}
	return m.teacher.params().Total()
}

// LoadTeacher writes the weights of a model directory to the teacher, and gives their
// hash: that of the file's floats, or Weights.Hash of a ternary model.
func (m *Model) LoadTeacher(dir string) (hash string, err error) {
	t := m.teacher
	if t.Float {
		if err := t.float.load(dir); err != nil {
			return "", err
		}
		return modelfile.HashMasters(dir)
	}
	w, err := modelfile.ReadWeights(dir)
	if err != nil {
		return "", err
	}
	return w.Hash(), t.ternary.LoadWeights(w)
}
