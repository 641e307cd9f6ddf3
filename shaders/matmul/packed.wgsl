requires packed_4x8_integer_dot_product;
// Matrix product of int8 by int8 or ternary with dot products of four bytes, in integers:
{{template "formula" .}}
// Tiles of {{.TileM}} x {{.TileN}} a workgroup go through workgroup memory in slices of {{.TileK}}, four neighbours
// along k a word; each invocation holds {{.RegM}} x {{.RegN}} sums.
{{template "shapes" .}}
{{template "bindings" .}}
{{- range .Operands}}
{{template "bytes" .}}
{{- end}}
{{template "store4" .}}
{{template "product by tiles" .}}
