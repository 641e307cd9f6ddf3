
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
{{- if eq .Lanes 1}}

// rolled returns n, which the compiler does not know: a loop up to it is not written out. Loads and
// stores whose places differ from lane to lane take lavapipe long to compile, each time they are written.
fn rolled(n: u32, row: u32) -> u32 { return n + (row >> 31u); }
{{- else}}
fn rolled(n: u32, row: u32) -> u32 { return n; }
{{- end}}
{{end}}

{{define "load4"}}
{{- /* Four neighbours of a row of a matrix, zero past the row's end. Of a block of rows. */ -}}
fn load_{{.Name}}(row: u32, c: u32) -> vec4<f32> {
{{- if .Odd}}
	var v = vec4<f32>();
	for (var i = 0u; i < 4u; i++) {
		if (c * 4u + i < {{.Width}}u) { v[i] = {{.From}}[row * {{.Stride}}u + {{.At}}u + c * 4u + i]; }
	}
	return v;
{{- else}}
	return {{.From}}[row * {{div .Stride 4}}u + {{div .At 4}}u + c];
{{- end}}
}
{{end}}

{{define "put4"}}
{{- /* Writes what load4 reads. */ -}}
fn put_{{.Name}}(row: u32, c: u32, v: vec4<f32>) {
{{- if .Odd}}
	for (var i = 0u; i < 4u; i++) {
		if (c * 4u + i < {{.Width}}u) { {{.From}}[row * {{.Stride}}u + {{.At}}u + c * 4u + i] {{if .Accumulate}}+{{end}}= v[i]; }
	}
{{- else}}
	{{.From}}[row * {{div .Stride 4}}u + {{div .At 4}}u + c] {{if .Accumulate}}+{{end}}= v;
{{- end}}
}
{{end}}

{{define "weight"}}
{{- /* Where the invocations of a workgroup have rows of their own, the same weights serve all. */ -}}
{{- if .Table}}{{template "table"}}{{end}}
fn weight(c: u32) -> vec4<f32> { return load_w(0u, {{if .Table}}{{un .Words "c"}}{{else}}c{{end}}); }
{{end}}

{{define "table"}}
// The uniform table, table[i] = i: see gpu.UniformTable. Each function returns x, which is the same
// in all invocations of a workgroup, and says so to lavapipe's compiler. It knows that of nothing but
// constants and push constants; the second lookup lets it see that the first one's result is a scalar.
var<push_constant> table: array<u32, 64>;
fn uniform1(x: u32) -> u32 { return table[table[x & 63u]]; }
fn uniform2(x: u32) -> u32 { return uniform1(x) + 64u * uniform1(x >> 6u); }
fn uniform3(x: u32) -> u32 { return uniform2(x) + 4096u * uniform1(x >> 12u); }

// often returns n, which the compiler does not know: it leaves a loop up to it rolled. Loads and stores
// whose places differ from lane to lane take a lot of code, and time to compile, for each that is written out.
fn often(n: u32) -> u32 { return n * table[1]; }
{{end}}

{{define "signed_codes"}}
// A word of ternary codes w + 1 as two bits of two's complement each.
fn signed_codes(word: u32) -> u32 {
	let n = ~word;
	return (n & 0x55555555u) | (n & (n << 1u) & 0xaaaaaaaau);
}
{{end}}

{{define "unpack" -}}
// Four codes w + 1 of two bits become four bytes w.
fn unpack(codes: u32) -> u32 {
	var v = codes & 0xffu;
	v = (v | (v << 12u)) & 0x000f000fu;
	v = (v | (v << 6u)) & 0x03030303u;
	return ((v | 0x80808080u) - 0x01010101u) ^ 0x80808080u;
}
{{end}}

{{define "fetch" -}}
{{- /* Of an operand of a product. */ -}}
// Four neighbours of one stored row of {{.Name}} [{{.Rows}}, {{.Cols}}], col a multiple of 4.
fn fetch_{{.Name}}(row: u32, col: u32) -> vec4<f32> {
{{- if .CheckRows}}
	if (row >= {{.Rows}}u) { return vec4<f32>(); }
{{- end}}
{{- if .CheckCols}}
	if (col >= {{.Cols}}u) { return vec4<f32>(); }
{{- end}}
{{- if eq .Kind.String "f32"}}
{{- if .Odd}}
	var v = vec4<f32>();
	for (var i = 0u; i < {{if .Rolled}}often(4u){{else}}4u{{end}}; i++) {
		if (col + i < {{.Cols}}u) { v[i] = {{.Name}}[row * {{.Cols}}u + col + i]; }
	}
	return v;
{{- else}}
	return {{.Name}}[row * ({{.Cols}}u / 4u) + col / 4u];
{{- end}}
{{- else if eq .Kind.String "int8"}}
	let word = {{.Name}}[row * {{.Words}}u + col / 4u];
	return vec4<f32>(vec4<i32>(vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
{{- else}}
	let word = {{.Name}}[row * {{.Words}}u + col / 16u] >> (2u * (col % 16u));
	return vec4<f32>((vec4<u32>(word) >> vec4<u32>(0u, 2u, 4u, 6u)) & vec4<u32>(3u)) - vec4<f32>(1.0);
{{- end}}
}
{{end}}

{{define "bytes" -}}
{{- /* Of an operand of a product of whole numbers, int8 or ternary. */ -}}
{{- if eq .Kind.String "ternary"}}
{{template "unpack" .}}
{{- end}}
// Four neighbours along {{if .AlongK}}k{{else}}the other dimension{{end}} of one stored row, as bytes.
fn bytes_{{.Name}}(row: u32, col: u32) -> u32 {
{{- if .CheckRows}}
	if (row >= {{.Rows}}u) { return 0u; }
{{- end}}
{{- if .CheckCols}}
	if (col >= {{.Cols}}u) { return 0u; }
{{- end}}
{{- if eq .Kind.String "ternary"}}
	return unpack({{.Name}}[row * {{.Words}}u + col / 16u] >> (2u * (col % 16u)));
{{- else}}
	return {{.Name}}[row * {{.Words}}u + col / 4u];
{{- end}}
}

// Component i holds {{.Name}} at o + i for k..k+3.
fn block_{{.Name}}(o: u32, k: u32) -> vec4<u32> {
{{- if .AlongK}}
	return vec4<u32>(bytes_{{.Name}}(o, k), bytes_{{.Name}}(o + 1u, k), bytes_{{.Name}}(o + 2u, k), bytes_{{.Name}}(o + 3u, k));
{{- else}}
	let at = vec4<u32>(0u, 8u, 16u, 24u);
	let low = vec4<u32>(255u);
	return ((vec4<u32>(bytes_{{.Name}}(k, o)) >> at) & low) | (((vec4<u32>(bytes_{{.Name}}(k + 1u, o)) >> at) & low) << vec4<u32>(8u)) |
		(((vec4<u32>(bytes_{{.Name}}(k + 2u, o)) >> at) & low) << vec4<u32>(16u)) | ((vec4<u32>(bytes_{{.Name}}(k + 3u, o)) >> at) << vec4<u32>(24u));
{{- end}}
}
{{end}}

{{define "product" -}}
{{- /* Shapes and bindings of a product. */ -}}
const M = {{.M}}u;
const N = {{.N}}u;
const K = {{.K}}u;
{{- range .Operands}}
@group(0) @binding({{.Binding}}) var<storage, read> {{.Name}}: array<{{.Element}}>;
{{- end}}
{{- range .Vectors}}
@group(0) @binding({{.Binding}}) var<storage, read> {{.Name}}: array<f32>;
{{- end}}
{{- if .Residual}}
@group(0) @binding({{.ResidualBinding}}) var<storage, read> residual: array<{{.OutElement}}>;
{{- end}}
@group(0) @binding({{.OutBinding}}) var<storage, read_write> c: array<{{.OutElement}}>;
{{- end}}

{{define "store4" -}}
{{- /* Of the result of a product. */ -}}
fn inside(m: u32, n: u32) -> bool { return {{if .CheckM}}m < M{{else}}true{{end}}{{if .CheckN}} && n < N{{end}}; }
{{if .OddN}}
// Writes four neighbours of row m of the result.
fn store(m: u32, n: u32, sum: vec4<f32>) {
	if (!inside(m, n)) { return; }
	var v = sum;
{{- if .RowScale}}
	v *= rows[m];
{{- end}}
	for (var i = 0u; i < {{if .Shared}}4u{{else}}often(4u){{end}}; i++) {
		if (n + i >= N) { return; }
		{{if .ColScale}}v[i] *= cols[n + i];{{end}}
		{{if .Residual}}v[i] += residual[m * N + n + i];{{end}}
		c[m * N + n + i] {{if .Accumulate}}+{{end}}= v[i];
	}
}
{{- else}}
// What four neighbours of row m of the result become.
fn result(m: u32, n: u32, sum: vec4<f32>) -> vec4<f32> {
	var v = sum;
{{- if .RowScale}}
	v *= rows[m];
{{- end}}
{{- if .ColScale}}
	v *= vec4<f32>(cols[n], cols[n + 1u], cols[n + 2u], cols[n + 3u]);
{{- end}}
{{- if .Residual}}
	v += residual[(m * N + n) / 4u];
{{- end}}
{{- if .Accumulate}}
	v += c[(m * N + n) / 4u];
{{- end}}
	return v;
}

fn store(m: u32, n: u32, sum: vec4<f32>) {
	if (inside(m, n)) { c[(m * N + n) / 4u] = result(m, n, sum); }
}
{{- end}}
{{end}}
