{{define "index"}}
{{- /* For kernels over an index that is folded over x and y: shaders.Elementwise. */ -}}
// The number of this invocation in the whole dispatch.
fn index(id: vec3<u32>, groups: vec3<u32>) -> u32 {
	return id.x + id.y * groups.x * {{.Threads}}u;
}
{{end}}

{{define "vector"}}
{{- /* What an invocation takes of a row: shaders.Vectors. */ -}}
alias V = {{if eq .Each 4}}vec4<f32>{{else}}f32{{end}};
{{- end}}
