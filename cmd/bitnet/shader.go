package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"bitnet/bitnet/cost"
	"bitnet/bitnet/train"
	"bitnet/gpu"
	"bitnet/shaders"
)

type shaderFlags struct {
	trainFlags
	target         string
	matrix, packed bool
}

// shaderTargets are the names of the targets that kernels are laid out for.
var shaderTargets = []string{shaders.GPU.String(), shaders.CPU.String(), shaders.CPUTable.String()}

func shaderCommand() *cobra.Command {
	var f shaderFlags
	c := &cobra.Command{
		Use:   "shader [NAME]",
		Short: "List the kernels of a training step, or print the WGSL of one",
		Long: `List the kernels of a training step: how often each runs, its workgroups, its
multiplications and additions, the file below shaders/ that it comes from, its
variant, and its bindings (read -> written). With NAME, print the WGSL that is
compiled for one of them: its number in the list, or a part of its label or file.

No device is needed: the step is planned for a target. The default is a GPU
without matrix units and without tuning; --matrix and --packed assume that it has
them.`,
		Example: `  bitnet shader --exp baseline
  bitnet shader cross-entropy
  bitnet shader attention dq --exp tinystories --target cpu+table
  bitnet shader 12 --exp baseline --matrix --precision mixed`,
		RunE: func(c *cobra.Command, args []string) error {
			kernels, err := f.kernels(c)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				printKernels(c.OutOrStdout(), kernels)
				return nil
			}
			k, err := findKernel(kernels, strings.Join(args, " "))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), strings.TrimSpace(k.Code))
			return err
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.exp, "exp", "arithmetic", "experiment: "+strings.Join(train.Presets(), ", "))
	fl.StringArrayVar(&f.set, "set", nil, "change a value of the configuration: key=value")
	fl.IntVar(&f.batch, "batch-size", 0, "sequences per micro-batch")
	fl.IntVar(&f.seq, "seq-len", 0, "tokens per sequence")
	fl.StringVar(&f.precision, "precision", "", precisionHelp)
	fl.StringVar(&f.target, "target", shaders.GPU.String(), "layout of the kernels: "+strings.Join(shaderTargets, ", "))
	fl.BoolVar(&f.matrix, "matrix", false, "assume matrix units of 16x16x16 in f16 and int8")
	fl.BoolVar(&f.packed, "packed", false, "assume dot products of four bytes")
	_ = c.RegisterFlagCompletionFunc("target", matching(func(*cobra.Command) []string { return shaderTargets }))
	return c
}

// adapter makes up an adapter of the target.
func (f *shaderFlags) adapter() (gpu.Adapter, error) {
	a := cost.Card()
	if !slices.Contains(shaderTargets, f.target) {
		return a, usageError{fmt.Errorf("--target %q: choose one of %s", f.target, strings.Join(shaderTargets, ", "))}
	}
	if f.target != shaders.GPU.String() {
		if f.matrix || f.packed {
			return a, usageError{errors.New("--matrix and --packed need --target gpu")}
		}
		a.Kind = gpu.CPU
	}
	if f.target == shaders.CPUTable.String() {
		a.Features = append(a.Features, gpu.UniformTable)
	}
	if f.packed {
		a.Features = append(a.Features, gpu.PackedDot)
	}
	if f.matrix {
		a.Features = append(a.Features, gpu.ShaderF16, gpu.Subgroups, gpu.SubgroupMatrix)
		a.SubgroupMin, a.SubgroupMax = 32, 32
		a.Matrices = []gpu.MatrixShape{
			{M: 16, N: 16, K: 16, Component: "f16", Result: "f32"},
			{M: 16, N: 16, K: 16, Component: "i8", Result: "i32"},
		}
	}
	return a, nil
}

// plannedKernel is a kernel and how often it runs in a step of one micro-batch.
type plannedKernel struct {
	shaders.Source
	calls int
}

// kernels plans a step and lists its kernels, each once.
func (f *shaderFlags) kernels(c *cobra.Command) ([]plannedKernel, error) {
	a, err := f.adapter()
	if err != nil {
		return nil, err
	}
	cfg, err := f.configuration(c)
	if err != nil {
		return nil, err
	}
	_, plan, err := train.Plan(cfg, a)
	if err != nil {
		return nil, err
	}
	var out []plannedKernel
	for _, s := range plan.Sources() {
		i := slices.IndexFunc(out, func(k plannedKernel) bool { return k.Code == s.Code })
		if i < 0 {
			i = len(out)
			out = append(out, plannedKernel{Source: s})
		}
		out[i].calls++
	}
	return out, nil
}

// findKernel finds one kernel by its number in the list, its label or file, or a
// part of them.
func findKernel(kernels []plannedKernel, name string) (plannedKernel, error) {
	if n, err := strconv.Atoi(name); err == nil {
		if n < 1 || n > len(kernels) {
			return plannedKernel{}, usageError{fmt.Errorf("there is no kernel %d: the step has kernels 1 to %d", n, len(kernels))}
		}
		return kernels[n-1], nil
	}
	var found []int
	for i, k := range kernels {
		if k.Label == name || k.Family == name {
			found = append(found, i)
		}
	}
	if len(found) == 0 {
		for i, k := range kernels {
			if strings.Contains(strings.ToLower(k.Label+" "+k.Family+" "+k.Variant), strings.ToLower(name)) {
				found = append(found, i)
			}
		}
	}
	switch len(found) {
	case 0:
		return plannedKernel{}, usageError{fmt.Errorf("no kernel of the step matches %q: bitnet shader without NAME lists them", name)}
	case 1:
		return kernels[found[0]], nil
	}
	var list []string
	for _, i := range found {
		list = append(list, fmt.Sprintf("%d %s (%s)", i+1, kernels[i].Label, kernels[i].Family))
	}
	return plannedKernel{}, usageError{fmt.Errorf("%d kernels match %q, choose one by its number: %s", len(found), name, strings.Join(list, ", "))}
}

func printKernels(out io.Writer, kernels []plannedKernel) {
	labels, files := 0, 0
	for _, k := range kernels {
		labels, files = max(labels, len(k.Label)), max(files, len(k.Family))
	}
	fmt.Fprintf(out, "%3s %5s %11s %10s  %-*s  %-*s  %s\n", "#", "calls", "workgroups", "MFLOP", labels, "kernel", files, "file", "bindings; variant")
	for i, k := range kernels {
		fmt.Fprintf(out, "%3d %5d %11s %10.2f  %-*s  %-*s  %s\n", i+1, k.calls, workgroups(k.Groups), k.Flops/1e6, labels, k.Label, files, k.Family, bindings(k.Source))
	}
}

func workgroups(g [3]uint32) string {
	if g[1] == 1 && g[2] == 1 {
		return strconv.Itoa(int(g[0]))
	}
	return fmt.Sprintf("%d x %d", g[0], g[1])
}

// bindings names what a kernel reads and writes, and its variant.
func bindings(s shaders.Source) string {
	var read, written []string
	for i, name := range s.Names {
		if s.Writes[i] {
			written = append(written, name)
		} else {
			read = append(read, name)
		}
	}
	text := strings.Join(append(read, "->", strings.Join(written, " ")), " ")
	if s.Variant != "" {
		text += "; " + s.Variant
	}
	return text
}
