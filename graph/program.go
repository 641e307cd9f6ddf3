package graph

import (
	"errors"
	"fmt"
	"time"

	"bitnet/gpu"
)

// Program is a plan on a device, ready to run. What it runs returns before the
// device is done; reading waits for the device.
type Program struct {
	plan   *Plan
	dev    *gpu.Device
	lender *Program     // whose activations' memory it uses; nil for its own
	micro  *gpu.Program // forward, and in training backward
	update *gpu.Program // the optimizer; nil outside training
	step   *gpu.Program // micro and update in one; nil outside training

	segments map[int][]*Segment // by how many were asked for
	released bool

	staging []uint32 // tokens, order, targets and begins as they lie on the device
	counts  []uint32 // of the counting sort
}

// Compile allocates the plan's buffers and compiles its kernels. The
// parameters must be allocated on the same device. With an error, nothing stays
// allocated.
func (p *Plan) Compile(dev *gpu.Device) (*Program, error) { return p.compile(dev, nil) }

// CompileOver is Compile on the device of another program, in the memory of that
// one's activations as far as they are large enough: an evaluation needs none of
// its own beside training. The two may run in turn, since no activation of a
// program is read after its run; the lender must be released last.
func (p *Plan) CompileOver(lender *Program) (*Program, error) {
	if err := lender.ready(); err != nil {
		return nil, err
	}
	return p.compile(lender.dev, lender)
}

func (p *Plan) compile(dev *gpu.Device, lender *Program) (_ *Program, err error) {
	g := p.graph
	switch {
	case g.err != nil:
		return nil, g.err
	case p.compiled:
		return nil, errors.New("the plan is compiled already: a second program needs a graph and a plan of its own")
	}
	if err := g.onDevice(); err != nil {
		return nil, err
	}
	p.compiled = true
	end := g.targets.offset + g.targets.bytes()
	if g.begins != nil {
		end = g.begins.offset + g.begins.bytes()
	}
	r := &Program{plan: p, dev: dev, lender: lender, segments: map[int][]*Segment{}, staging: make([]uint32, end/4)}
	defer func() {
		if err != nil {
			r.Release()
			p.compiled = false
		}
	}()
	if err := g.inputs.allocate(dev); err != nil {
		return nil, err
	}
	var lent *arena
	if lender != nil {
		lent = lender.plan.activations
	}
	if err := p.activations.allocateOver(dev, lent); err != nil {
		return nil, err
	}
	if err := g.writeConstants(); err != nil {
		return nil, err
	}
	if r.micro, err = assemble(dev, "micro-batch", p.calls[:p.micro]); err != nil {
		return nil, err
	}
	if p.trains() {
		if r.update, err = assemble(dev, "update", p.calls[p.micro:]); err != nil {
			return nil, err
		}
		if r.step, err = assemble(dev, "step", p.calls); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Release frees the program's buffers, not those of the parameters.
func (r *Program) Release() {
	if r.released {
		return
	}
	r.released = true
	for _, p := range []*gpu.Program{r.micro, r.update, r.step} {
		if p != nil {
			p.Release()
		}
	}
	for _, list := range r.segments {
		for _, s := range list {
			s.release()
		}
	}
	r.plan.graph.inputs.release()
	r.plan.activations.release()
}

// ready checks that the program can be used.
func (r *Program) ready() error {
	if r.released {
		return errors.New("the program was released and cannot be used any more")
	}
	if r.lender != nil && r.lender.released {
		return errors.New("the program whose memory this one uses was released before it")
	}
	if err := r.plan.graph.err; err != nil {
		return err
	}
	return r.plan.graph.onDevice()
}

// trains checks that the program has an update.
func (r *Program) trains() error {
	if err := r.ready(); err != nil {
		return err
	}
	if r.update == nil {
		return errors.New("the program was planned for the forward pass only and cannot train: use PlanTraining")
	}
	return nil
}

// MicroBatch runs the forward pass of the loaded micro-batch, and in training
// the backward pass, which adds to the gradients and to the loss of the step.
// Update and Step set both to zero; new parameters begin with zeros.
func (r *Program) MicroBatch() error {
	if err := r.ready(); err != nil {
		return err
	}
	return r.micro.Run()
}

// Update ends a step: it computes the norm of the gradients, clips them, runs
// the optimizer, sets the gradients to zero and quantises the new weights.
func (r *Program) Update() error {
	if err := r.trains(); err != nil {
		return err
	}
	return r.update.Run()
}

// Step is MicroBatch and Update in one submission: the last micro-batch of a
// step that no other machine shares.
func (r *Program) Step() error {
	if err := r.trains(); err != nil {
		return err
	}
	return r.step.Run()
}

// Load writes a micro-batch: token ids below vocab and the id to predict
// at each position, or 0xffffffff for none. It allocates nothing after the first call.
func (r *Program) Load(tokens, targets []uint32, vocab int) error {
	if r.plan.graph.begins != nil {
		return errors.New("a program of packed rows needs to know where documents begin: use LoadPacked")
	}
	return r.load(tokens, targets, nil, vocab)
}

// LoadPacked is Load for a program of NewPacked. begins has the place in its row
// of the first token of each token's document.
func (r *Program) LoadPacked(tokens, targets, begins []uint32, vocab int) error {
	g := r.plan.graph
	if g.begins == nil {
		return errors.New("the program's rows are one sequence each: build its graph with NewPacked")
	}
	if err := checkBegins(begins, g.Tokens(), g.seq); err != nil {
		return err
	}
	return r.load(tokens, targets, begins, vocab)
}

// checkBegins checks that each token belongs to the document of the one before
// it, or begins one: with anything else attention would compute nonsense.
func checkBegins(begins []uint32, tokens, seq int) error {
	if len(begins) != tokens {
		return fmt.Errorf("the begins of the documents of %d tokens for a program of %d", len(begins), tokens)
	}
	for i, b := range begins {
		at := uint32(i % seq)
		if b != at && (at == 0 || b != begins[i-1]) {
			return fmt.Errorf("token %d of row %d belongs to a document that begins at %d: it must begin there, or belong to the document of the token before it", at, i/seq, b)
		}
	}
	return nil
}

// load writes a micro-batch; begins is nil where the program has none.
func (r *Program) load(tokens, targets, begins []uint32, vocab int) error {
	if err := r.ready(); err != nil {
		return err
	}
	g := r.plan.graph
	n := g.Tokens()
	if len(tokens) != n || len(targets) != n {
		return fmt.Errorf("a batch of %d tokens and %d targets for a program of %d", len(tokens), len(targets), n)
	}
	at := func(t *Tensor) []uint32 { return r.staging[t.offset/4:][:n] }
	copy(at(g.tokens), tokens)
	copy(at(g.targets), targets)
	if begins != nil {
		copy(at(g.begins), begins)
	}
	if len(r.counts) < vocab+1 {
		r.counts = make([]uint32, vocab+1)
	}
	if err := sortPositions(at(g.order), tokens, r.counts[:vocab+1]); err != nil {
		return err
	}
	return g.inputs.slabs[0].Write(0, gpu.Bytes(r.staging))
}

// SetTokens writes the token ids of a program that computes no loss; they
// must be below the vocabulary's size.
func (r *Program) SetTokens(tokens []uint32) error {
	if err := r.ready(); err != nil {
		return err
	}
	return r.plan.graph.tokens.write(gpu.Bytes(tokens))
}

// sortPositions writes the positions of tokens sorted by id, ties in order
// (a counting sort; counts is scratch of vocab + 1 elements).
func sortPositions(order, tokens, counts []uint32) error {
	clear(counts)
	for t, id := range tokens {
		if int(id) >= len(counts)-1 {
			return fmt.Errorf("token %d at position %d is not below the vocabulary's size of %d", id, t, len(counts)-1)
		}
		counts[id+1]++
	}
	for i := 1; i < len(counts); i++ {
		counts[i] += counts[i-1]
	}
	for t, id := range tokens {
		order[counts[id]] = uint32(t)
		counts[id]++
	}
	return nil
}

// Timing is how long one kernel of a step took.
type Timing struct {
	Op, Kernel string
	Flops      float64
	Time       time.Duration
}

// Profile runs a whole step once, in training with the update, and times each
// of its kernels.
func (r *Program) Profile() ([]Timing, error) {
	if err := r.ready(); err != nil {
		return nil, err
	}
	program := r.micro
	if r.step != nil {
		program = r.step
	}
	times, err := program.Time()
	if err != nil {
		return nil, err
	}
	out := make([]Timing, len(r.plan.calls))
	for i, c := range r.plan.calls {
		out[i] = Timing{c.op, c.src.Label, c.src.Flops, times[i]}
	}
	return out, nil
}

// once lays out, runs and releases a program.
func (ps *Params) once(dev *gpu.Device, e *emitter, label string) error {
	if len(e.calls) == 0 {
		return e.err
	}
	scratch, err := layOut(e)
	if err != nil {
		return err
	}
	if err := scratch.allocate(dev); err != nil {
		return err
	}
	defer scratch.release()
	p, err := assemble(dev, label, e.calls)
	if err != nil {
		return err
	}
	defer p.Release()
	if err := p.Run(); err != nil {
		return err
	}
	return dev.Wait()
}
