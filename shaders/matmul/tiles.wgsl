{{define "product by tiles"}}
{{- /* A product by tiles in workgroup memory; block_a and block_b give four by four elements of an operand. */ -}}
{{- $rm := div .RegM 4}}{{$rn := div .RegN 4}}
const TILE_M = {{.TileM}}u;
const TILE_N = {{.TileN}}u;
const TILE_K = {{.TileK}}u;
const ACROSS = TILE_K / 4u; // blocks of four by four along k in a tile
const BLOCKS_A = TILE_M / 4u * ACROSS;
const BLOCKS = BLOCKS_A + TILE_N / 4u * ACROSS;
alias Block = {{if .Packed}}vec4<u32>{{else}}mat4x4<f32>{{end}};
{{- range .Operands}}
var<workgroup> tile_{{.Name}}: array<{{if $.Packed}}vec4<u32>{{else}}vec4<f32>{{end}}, {{div (mul .Tile $.TileK) $.PerVector}}>;

// The place of block i: x along k, y along the other side, in blocks. Neighbours write to different banks.
fn place_{{.Name}}(i: u32) -> vec2<u32> {
{{- if .AlongK}}
	return vec2<u32>(i / 8u % ACROSS, i % 8u + i / (8u * ACROSS) * 8u); // and read all of a row that is in a slice
{{- else}}
	return vec2<u32>(i / {{div .Tile 4}}u, i % {{div .Tile 4}}u);
{{- end}}
}
{{- end}}

{{- range .Operands}}

// Block i of {{.Name}} in the slice that begins at k.
fn load_{{.Name}}(i: u32, m: u32, n: u32, k: u32) -> Block {
	let at = 4u * place_{{.Name}}(i);
	return block_{{.Name}}({{if eq .Name "a"}}m{{else}}n{{end}} + at.y, k + at.x);
}

// Stores block i in the tile.
fn keep_{{.Name}}(i: u32, block: Block) {
	let at = place_{{.Name}}(i);
{{- if $.Packed}}
	tile_{{.Name}}[at.x * {{div .Tile 4}}u + at.y] = block;
{{- else}}{{$name := .Name}}{{$tile := .Tile}}{{range $j := seq 4}}
	tile_{{$name}}[(4u * at.x + {{$j}}u) * {{div $tile 4}}u + at.y] = block[{{$j}}];
{{- end}}{{end}}
}
{{- end}}
{{- if .Mixed}}

// The same where some invocations have blocks of a and some of b{{if .Partial}}, or none{{end}}.
fn load_(i: u32, m: u32, n: u32, k: u32) -> Block {
	if (i < BLOCKS_A) { return load_a(i, m, n, k); }
{{- if .Partial}}
	if (i >= BLOCKS) { return Block(); }
{{- end}}
	return load_b(i - BLOCKS_A, m, n, k);
}

fn keep_(i: u32, block: Block) {
	if (i < BLOCKS_A) { keep_a(i, block); } else{{if .Partial}} if (i < BLOCKS){{end}} { keep_b(i - BLOCKS_A, block); }
}
{{- end}}

@compute @workgroup_size({{.Threads}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
{{- if .Batched}}
	number = group.z;
{{- end}}
	let m0 = group.y * TILE_M;
	let n0 = group.x * TILE_N;
{{- if .Symmetric}}
	if (below(m0, n0)) { return; }
{{- end}}
	let am = local / (TILE_N / {{.RegN}}u); // rows am*4 + i*(TILE_M/{{$rm}}) of the tile: neighbours read neighbours
	let bn = local % (TILE_N / {{.RegN}}u);
{{- range $i := seq .RegM}}{{range $j := seq $rn}}
	var s{{$i}}_{{$j}} = vec4<{{if $.Packed}}i32{{else}}f32{{end}}>();
{{- end}}{{end}}
{{- range $i, $pass := .Passes}}
	var block{{$i}} = load_{{.Operand}}(local + {{.First}}u, m0, n0, 0u);
{{- end}}
	for (var k0 = 0u; k0 < K; k0 += TILE_K) {
{{- range $i, $pass := .Passes}}
		keep_{{.Operand}}(local + {{.First}}u, block{{$i}});
{{- end}}
		workgroupBarrier();
		if (k0 + TILE_K < K) { // load the next slice while this one is multiplied
{{- range $i, $pass := .Passes}}
			block{{$i}} = load_{{.Operand}}(local + {{.First}}u, m0, n0, k0 + TILE_K);
{{- end}}
		}
		for (var k = 0u; k < TILE_K{{if .Packed}} / 4u{{end}}; k++) {
{{- range $i := seq $rm}}
			let a{{$i}} = tile_a[k * (TILE_M / 4u) + am + {{$i}}u * (TILE_M / {{$.RegM}}u)];
{{- end}}
{{- range $j := seq $rn}}
			let b{{$j}} = tile_b[k * (TILE_N / 4u) + bn + {{$j}}u * (TILE_N / {{$.RegN}}u)];
{{- end}}
{{- range $i := seq .RegM}}{{$a := printf "a%d%s" (div $i 4) (component 4 (mod $i 4))}}{{range $j := seq $rn}}
{{- if $.Packed}}
			s{{$i}}_{{$j}} += vec4<i32>(dot4I8Packed({{$a}}, b{{$j}}.x), dot4I8Packed({{$a}}, b{{$j}}.y), dot4I8Packed({{$a}}, b{{$j}}.z), dot4I8Packed({{$a}}, b{{$j}}.w));
{{- else}}
			s{{$i}}_{{$j}} = fma(vec4<f32>({{$a}}), b{{$j}}, s{{$i}}_{{$j}});
{{- end}}
{{- end}}{{end}}
		}
		workgroupBarrier();
	}
{{- range $i := seq .RegM}}{{range $j := seq $rn}}
	store(m0 + 4u * (am + {{div $i 4}}u * (TILE_M / {{$.RegM}}u)) + {{mod $i 4}}u, n0 + 4u * (bn + {{$j}}u * (TILE_N / {{$.RegN}}u)), {{if $.Packed}}vec4<f32>(s{{$i}}_{{$j}}){{else}}s{{$i}}_{{$j}}{{end}});
{{- end}}{{end}}
{{- if .Symmetric}}{{range $i := seq $rm}}{{range $j := seq $rn}}
	mirror(m0 + 4u * (am + {{$i}}u * (TILE_M / {{$.RegM}}u)), n0 + 4u * (bn + {{$j}}u * (TILE_N / {{$.RegN}}u)), s{{mul 4 $i}}_{{$j}}, s{{add (mul 4 $i) 1}}_{{$j}}, s{{add (mul 4 $i) 2}}_{{$j}}, s{{add (mul 4 $i) 3}}_{{$j}});
{{- end}}{{end}}{{end}}
}
{{end}}
