package wgpu

import (
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu/driver"
)

func TestCompileError(t *testing.T) {
	tests := []struct {
		name, message string
		want          driver.CompileError
	}{
		{
			"syntax",
			"Validation Error\n\nCaused by:\n    In wgpuDeviceCreateShaderModule\n      note: label = `lab`\n    \nShader 'lab' parsing error: expected ';', found '}'\n  ┌─ wgsl:5:1\n  │\n5 │ }\n  │ ^ expected ';'\n\n\n    expected ';', found '}'\n",
			driver.CompileError{Line: 5, Column: 1, Message: "expected ';', found '}'"},
		},
		{
			"name",
			"Validation Error\n\nCaused by:\n    In wgpuDeviceCreateShaderModule\n      note: label = `lab`\n    \nShader 'lab' parsing error: no definition in scope for identifier: 'q'\n  ┌─ wgsl:4:11\n  │\n4 │   let x = q;\n  │           ^ unknown identifier\n\n\n    no definition in scope for identifier: 'q'\n",
			driver.CompileError{Line: 4, Column: 11, Message: "no definition in scope for identifier: 'q'; unknown identifier"},
		},
		{
			"types",
			"Validation Error\n\nCaused by:\n    In wgpuDeviceCreateShaderModule\n      note: label = `lab`\n    \nShader validation error: \n  ┌─ lab:4:3\n  │\n4 │   y[0] = 1u;\n  │   ^^^^   ^^ naga::Expression [3]\n  │   │       \n  │   naga::Expression [2]\n\n\n    Entry point main at Compute is invalid\n    The type of [3] doesn't match the type stored in [2]\n",
			driver.CompileError{Line: 4, Column: 3, Message: "Entry point main at Compute is invalid; The type of [3] doesn't match the type stored in [2]"},
		},
		{
			"store",
			"Validation Error\n\nCaused by:\n    In wgpuDeviceCreateShaderModule\n      note: label = `lab`\n    \nShader validation error: \n  ┌─ lab:14:13\n   │\n14 │   y[0] = 1.0;\n   │   ^^^^ writing to this location is not permitted\n\n\n    Entry point main at Compute is invalid\n",
			driver.CompileError{Line: 14, Column: 13, Message: "writing to this location is not permitted; Entry point main at Compute is invalid"},
		},
		{
			"no place",
			"Validation Error\n\nCaused by:\n    In wgpuDeviceCreateComputePipeline\n      note: label = `lab`\n    Error matching shader requirements against the pipeline\n    Unable to find entry point 'main'\n",
			driver.CompileError{Message: "Unable to find entry point 'main'"},
		},
		{"nothing", "", driver.CompileError{Message: "wgpu gave no reason"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, *compileError(tt.message))
		})
	}
}
