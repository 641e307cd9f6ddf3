package matmul

import "bitnet/shaders"

// PackedVariants are the kernels that multiply whole numbers with dot products
// of four bytes, for adapters that have them (the WGSL feature
// packed_4x8_integer_dot_product): in integers, exactly. There are none for
// other products, or for a CPU.
func (k Product) PackedVariants(memory int) []shaders.Variant {
	if k.Target != shaders.GPU || !k.integer() || !k.plain() {
		return nil
	}
	var out []shaders.Variant
	for _, t := range k.tilings(memory) {
		t.K *= 4 // four values a word
		p := k.params(t)
		p.Packed = true
		out = append(out, k.variant("packed, "+t.String(), k.String()+" packed", "packed.wgsl", p.groups(), p))
	}
	return out
}
