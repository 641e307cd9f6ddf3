{{define "codes"}}
{{- /* Writes the int8 codes and the scale of a row. m is the largest magnitude that this invocation has seen; value(row, c, r) gives four values. */}}
	let absmax = max(largest(lane, m), {{f32 .Floor}});
	let s = 127.0 / absmax;
	if (lane == 0u) { scale[row] = absmax / 127.0; }
	for (var c = lane; c < words; c += LANES) {
		let v = vec4<i32>(clamp(round(value(row, c, r) * s), vec4<f32>(-128.0), vec4<f32>(127.0)));
		let b = vec4<u32>(v) & vec4<u32>(255u);
		q[row * WORDS + c] = b.x | (b.y << 8u) | (b.z << 16u) | (b.w << 24u);
	}
{{- end}}
