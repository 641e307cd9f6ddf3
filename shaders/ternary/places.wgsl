{{define "places" -}}
// Many projections are quantised at once. A chunk is some rows of one projection. Weights, words of codes, scales
// and parts are counted from the start of what is bound.
struct Chunk { weight: u32, code: u32, scale: u32, rows: u32, k: u32 }
struct Projection { part: u32, parts: u32, scale: u32, rows: u32, k: u32 }
struct Places { chunks: array<Chunk, {{.Chunks}}>, projections: array<Projection, {{.Projections}}> }
{{read "places: Places"}}
{{- end -}}
