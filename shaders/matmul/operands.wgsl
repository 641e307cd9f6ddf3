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
{{- /* Takes an operand. */ -}}
// Four neighbours of one stored row of {{.Name}} [{{.Rows}}, {{.Cols}}]; col is a multiple of 4.
fn fetch_{{.Name}}(row: u32, col: u32) -> vec4<f32> {
{{- if .CheckRows}}
	if (row >= {{.Rows}}u) { return vec4<f32>(); }
{{- end}}
{{- if .CheckCols}}
	if (col >= {{.Cols}}u) { return vec4<f32>(); }
{{- end}}
{{- $row := "row"}}{{if .Batched}}{{$row = "at"}}
	let at = number * {{.Rows}}u + row;
{{- end}}
{{- if .F32}}
{{- if .Odd}}
	var v = vec4<f32>();
	for (var i = 0u; i < {{if .Rolled}}often(4u){{else}}4u{{end}}; i++) {
		if (col + i < {{.Cols}}u) { v[i] = {{.Name}}[{{$row}} * {{.Cols}}u + col + i]; }
	}
	return v;
{{- else}}
	return {{.Name}}[{{$row}} * ({{.Cols}}u / 4u) + col / 4u];
{{- end}}
{{- else if .Int8}}
	let word = {{.Name}}[{{$row}} * {{.Words}}u + col / 4u];
	return vec4<f32>(vec4<i32>(vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
{{- else}}
	let word = {{.Name}}[{{$row}} * {{.Words}}u + col / 16u] >> (2u * (col % 16u));
	return vec4<f32>((vec4<u32>(word) >> vec4<u32>(0u, 2u, 4u, 6u)) & vec4<u32>(3u)) - vec4<f32>(1.0);
{{- end}}
}
{{end}}

{{define "bytes" -}}
{{- /* Takes an operand of whole numbers, int8 or ternary. */ -}}
{{- if .Ternary}}
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
{{- if .Ternary}}
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
