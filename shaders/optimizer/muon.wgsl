{{define "matrices"}}
{{- /* The matrices that are orthogonalised together: optimizer.Orthogonal. */ -}}
// x holds {{.Count}} matrices [R, C], R <= C. Each lies in the flat parameters from element at on: as it is, or transposed.
const R = {{.Rows}}u;
const C = {{.Cols}}u;
const SIZE = R * C;
struct Matrix { at: u32, transposed: u32 }
{{read "places: array<Matrix>"}}
{{- end}}

{{define "stored"}}
// Where element i of matrix z of x is stored.
fn stored(z: u32, i: u32) -> u32 {
	let place = places[z];
	if (place.transposed != 0u) { return place.at + i % C * R + i / C; }
	return place.at + i;
}
{{end}}
