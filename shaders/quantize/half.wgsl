// Rounding to float16, after a scale into its range:
//   y[r, c] = f16(x[r, c]{{if .ByRow}} f[r]{{else if .ByCol}} f[c]{{end}} GAIN) / GAIN, round half to even, GAIN a power of two
//   x [R, C]{{if .ByRow}}, f [R]{{else if .ByCol}}, f [C]{{end}} -> y [R, C]; one invocation an element
const R = {{.Rows}}u;
const C = {{.Cols}}u;
const GAIN = {{f32 .Gain}};

{{read "x: array<f32>"}}
{{- if or .ByRow .ByCol}}
{{read "f: array<f32>"}}
{{- end}}
{{write "y: array<f32>"}}
{{template "index" .}}
fn half(v: f32) -> f32 {
	let bits = bitcast<u32>(v);
	let sign = bits & 0x80000000u;
	let m = bits & 0x7fffffffu;
	if (m >= 0x7f800000u) { return v; } // infinite or not a number
	if (m >= 0x477ff000u) { return bitcast<f32>(sign | 0x7f800000u); } // 65520 and above
	if (m < 0x38800000u) { // subnormal in float16: a multiple of 2^-24
		return bitcast<f32>(sign | bitcast<u32>(round(bitcast<f32>(m) * 16777216.0) / 16777216.0));
	}
	return bitcast<f32>(sign | ((m + 0xfffu + ((m >> 13u) & 1u)) & 0xffffe000u));
}

@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
	let i = index(id, groups);
	if (i >= R * C) { return; }
	y[i] = half(x[i]{{if .ByRow}} * f[i / C]{{else if .ByCol}} * f[i % C]{{end}} * GAIN) / GAIN;
}
