{{define "reduce"}}
{{- /* total and largest over the invocations that share a row, in a fixed order: shaders.Rowwise. */ -}}
const LANES = {{.Lanes}}u;
{{if eq .Lanes 1 -}}
fn total(lane: u32, v: f32) -> f32 { return v; }
fn largest(lane: u32, v: f32) -> f32 { return v; }
{{- else -}}
var<workgroup> shared_lanes: array<f32, {{.Lanes}}>;

fn total(lane: u32, v: f32) -> f32 {
	shared_lanes[lane] = v;
	workgroupBarrier();
	for (var half = LANES / 2u; half > 0u; half /= 2u) {
		if (lane < half) { shared_lanes[lane] += shared_lanes[lane + half]; }
		workgroupBarrier();
	}
	let sum = shared_lanes[0];
	workgroupBarrier();
	return sum;
}

fn largest(lane: u32, v: f32) -> f32 {
	shared_lanes[lane] = v;
	workgroupBarrier();
	for (var half = LANES / 2u; half > 0u; half /= 2u) {
		if (lane < half) { shared_lanes[lane] = max(shared_lanes[lane], shared_lanes[lane + half]); }
		workgroupBarrier();
	}
	let m = shared_lanes[0];
	workgroupBarrier();
	return m;
}
{{- end}}
{{end}}

{{define "row"}}
// The row of this invocation: {{.Lanes}} lanes a row, {{.RowsPerGroup}} rows a workgroup.
fn row_of(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
	let g = group.x + group.y * groups.x;
{{- if eq .Lanes 1}}
	return g * {{.RowsPerGroup}}u + local;
{{- else}}
	return g;
{{- end}}
}
{{- if eq .Lanes 1}}

// rolled returns n in a way that the compiler cannot see through, so that it does not unroll a loop up to n.
// Loads and stores whose addresses differ between lanes take lavapipe long to compile, once for each copy.
fn rolled(n: u32, row: u32) -> u32 { return n + (row >> 31u); }
{{- else}}
fn rolled(n: u32, row: u32) -> u32 { return n; }
{{- end}}
{{end}}
