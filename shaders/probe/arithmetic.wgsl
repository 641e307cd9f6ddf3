// How fast an adapter computes: {{.Chains}} independent chains of four {{.Kind}} an invocation, {{mul .Steps .Unroll}} times.
//   s <- {{if eq .Kind "dot"}}s + dot(next s, x){{else}}s x + x{{end}}, with x = y[0]
// The results are useless; y is written only if a sum has a value that it cannot have.
{{write "y: array<u32>"}}

alias Value = vec4<{{.Type}}>;
{{- $chains := seq .Chains}}

@compute @workgroup_size({{.Threads}})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
	let x = {{if eq .Type "f32"}}bitcast<f32>{{else}}{{.Type}}{{end}}(y[0]); // the compiler cannot know it
{{- range $i := $chains}}
	var s{{$i}} = Value({{$.Type}}(id.x + {{$i}}u));
{{- end}}
	for (var i = 0u; i < {{.Steps}}u; i++) {
{{- range seq .Unroll}}{{range $i := $chains}}
{{- if eq $.Kind "fma"}}
		s{{$i}} = fma(s{{$i}}, Value(x), Value(x));
{{- else if eq $.Kind "dot"}}
		s{{$i}} += vec4<i32>({{range $c := seq 4}}dot4I8Packed(bitcast<u32>(s{{mod (add $i 1) $.Chains}}{{component 4 $c}}), bitcast<u32>(x)), {{end}});
{{- else}}
		s{{$i}} = s{{$i}} * x + x;
{{- end}}
{{- end}}{{end}}
	}
	let sum = {{range $i := $chains}}{{if $i}} + {{end}}s{{$i}}{{end}};
	if (all(sum == Value({{if eq .Type "f32"}}1.5e38{{else}}1234567{{end}}))) { y[1] = id.x; }
}
