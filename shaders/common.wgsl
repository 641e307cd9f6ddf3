
{{define "index"}}
// The number of this invocation in a dispatch that is folded over x and y.
fn index(id: vec3<u32>, groups: vec3<u32>) -> u32 {
	return id.x + id.y * groups.x * {{.Threads}}u;
}
{{end}}

{{define "reduce"}}
{{- /* total and largest over the invocations that share a row, in a fixed order. */ -}}
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
// Row and lane of this invocation: {{.Lanes}} lanes a row, {{.RowsPerGroup}} rows a workgroup.
fn row_of(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
	let g = group.x + group.y * groups.x;
{{- if eq .Lanes 1}}
	return g * {{.RowsPerGroup}}u + local;
{{- else}}
	return g;
{{- end}}
}
{{end}}

{{define "load4"}}
{{- /* Four values of a row-major f32 matrix, zero past the row's end. dict: Name, Width, Odd */ -}}
fn load_{{.Name}}(row: u32, c: u32) -> vec4<f32> {
{{- if .Odd}}
	var v = vec4<f32>();
	for (var i = 0u; i < 4u; i++) {
		if (c * 4u + i < {{.Width}}u) { v[i] = {{.Name}}[row * {{.Width}}u + c * 4u + i]; }
	}
	return v;
{{- else}}
	return {{.Name}}[row * ({{.Width}}u / 4u) + c];
{{- end}}
}
{{end}}
