{{define "heads"}}
const SEQ = {{.Seq}}u;
const HEADS = {{.Heads}}u;
const KV_HEADS = {{.KVHeads}}u;
const GROUP = HEADS / KV_HEADS;
const D4 = {{div .HeadDim 4}}u; // vec4 words of a head
const STRIDE = (HEADS + 2u * KV_HEADS) * D4; // words of a row of qkv
const SCALE = {{f32 .Scale}};
const THREADS = {{.Threads}}u;
const LOWEST = -3.4e38;
{{- end}}

{{define "alone"}}
{{- /* The constants of kernels whose invocations work alone. */ -}}
{{template "heads" .}}
const ROWS = {{.Rows}}u; // an invocation
const BLOCK = {{.Block}}u; // rows of the other side that are unrolled together
{{end}}

{{define "forward bindings"}}
{{read "qkv: array<vec4<f32>>"}}
{{template "documents" .}}{{write "o: array<vec4<f32>>"}}
{{write "lse: array<f32>"}}
{{end}}

{{define "gradient bindings"}}
{{read "qkv: array<vec4<f32>>"}}
{{read "lse: array<f32>"}}
{{read "dout: array<vec4<f32>>"}}
{{read "delta: array<f32>"}}
{{template "documents" .}}{{write "dqkv: array<vec4<f32>>"}}
{{end}}

{{define "documents"}}
{{- /* Rows of several documents: a query sees no key before the first token of its own. */ -}}
{{if .Documents}}{{read "begins: array<u32>"}} // [B, SEQ], the place in its row of the first token of each token's document
{{end}}
{{- end}}
