// The smallest dispatch: y[0] += 1.
{{write "y: array<u32>"}}

@compute @workgroup_size(1)
fn main() { y[0] += 1u; }
