package shaders

// PackedVariants are the kernels that multiply whole numbers with dot products
// of four bytes, for adapters that have them (the WGSL feature
// packed_4x8_integer_dot_product): in integers, exactly. There are none for
// other products, or for a CPU.
func (k MatMul) PackedVariants(memory int) []Variant {
	if k.Target != GPU || !k.integer() {
		return nil
	}
	var out []Variant
	for _, t := range k.tilings(memory) {
		t.K *= 4 // four values a word
		p := k.params(t)
		p.Packed = true
		out = append(out, k.variant("packed, "+t.String(), k.String()+" packed", "matmul_packed.wgsl", p.groups(), p))
	}
	return out
}
