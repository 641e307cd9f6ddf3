package graph

import (
	"errors"
	"fmt"
	"slices"

	"bitnet/gpu"
	"bitnet/shaders"
	"bitnet/shaders/optimizer"
)

// ClipBy lets updates clip the gradients of groups of parameters each by its own
// norm, instead of all by the norm of all: of names the group of a parameter. It is
// called after Layout and before a graph is planned or the parameters are allocated.
// Groups are numbered in the order of All.
func (ps *Params) ClipBy(of func(*Param) string) error {
	switch err := ps.laidOut(); {
	case err != nil:
		return err
	case ps.allocated || ps.groups != nil:
		return errors.New("groups to clip by are chosen once, before the parameters are allocated")
	case ps.storage != ForTraining && ps.storage != ForMuon:
		return fmt.Errorf("the parameters are laid out for %s: groups are clipped with %s and %s", ps.storage, ForTraining, ForMuon)
	}
	for _, p := range ps.Trained() {
		name := of(p)
		if p.group = slices.Index(ps.groups, name); p.group < 0 {
			p.group = len(ps.groups)
			ps.groups = append(ps.groups, name)
		}
		for _, b := range p.blocks {
			b.group = p.group
		}
	}
	ps.state = tensor("state", F32, 1, shaders.StateLen+len(ps.groups)-1)
	ps.groupNorms = tensor("norms of groups", F32, HistorySlots, len(ps.groups))
	return errors.Join(ps.small.append(ps.state), ps.small.append(ps.groupNorms))
}

// emitClips emits the clip factor of each group, if there are groups.
func (ps *Params) emitClips(e *emitter, part *Tensor) {
	if ps.groups == nil {
		return
	}
	k := optimizer.ClipGroups{Target: e.target, Groups: make([][2]int, len(ps.groups))}
	for _, r := range ps.ranges() {
		k.Groups[r.group][1] += r.parts()
	}
	at := 0
	for i := range k.Groups {
		k.Groups[i][0] = at
		at += k.Groups[i][1]
		k.Groups[i][1] = at
	}
	e.run(k.Source(), part, ps.step, ps.state, ps.groupNorms)
}

// GroupNorm is the norm of the gradient of a group of parameters, before clipping.
type GroupNorm struct {
	Name string
	Norm float32
}

// GroupNorms are those of a step, counted from 0: one of the last HistorySlots. It
// waits for the device. There are none without ClipBy.
func (ps *Params) GroupNorms(step int64) ([]GroupNorm, error) {
	if err := ps.onDevice(); err != nil || ps.groups == nil {
		return nil, err
	}
	norms := make([]float32, len(ps.groups))
	if err := ps.groupNorms.readAt(4*(step%HistorySlots)*int64(len(norms)), gpu.Bytes(norms)); err != nil {
		return nil, err
	}
	out := make([]GroupNorm, len(norms))
	for i, v := range norms {
		out[i] = GroupNorm{ps.groups[i], v}
	}
	return out, nil
}
