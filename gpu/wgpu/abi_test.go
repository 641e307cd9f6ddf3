package wgpu

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestABI compiles our declarations of wgpu-native's structures next to the
// header that comes with the library, and compares sizes, offsets and values.
func TestABI(t *testing.T) {
	compiler, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler named cc")
	}
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cogentcore/webgpu").Output()
	if err != nil {
		t.Skip("the go command does not find the webgpu module: ", err)
	}
	here, err := os.Getwd()
	require.NoError(t, err)

	var c strings.Builder
	c.WriteString("#define BITNET_ABI_TYPES_ONLY\n#include \"abi.h\"\n#include \"wgpu.h\"\n")
	for _, pair := range [][2]string{
		{"abi_chain", "WGPUChainedStruct"},
		{"abi_instance_desc", "WGPUInstanceDescriptor"},
		{"abi_instance_extras", "WGPUInstanceExtras"},
		{"abi_enumerate_options", "WGPUInstanceEnumerateAdapterOptions"},
		{"abi_adapter_info", "WGPUAdapterInfo"},
		{"abi_limits", "WGPULimits"},
		{"abi_limits_desc", "WGPUSupportedLimits"},
		{"abi_limits_desc", "WGPURequiredLimits"},
		{"abi_limits_extras", "WGPURequiredLimitsExtras"},
		{"abi_label_desc", "WGPUQueueDescriptor"},
		{"abi_label_desc", "WGPUCommandEncoderDescriptor"},
		{"abi_label_desc", "WGPUCommandBufferDescriptor"},
		{"abi_device_desc", "WGPUDeviceDescriptor"},
		{"abi_buffer_desc", "WGPUBufferDescriptor"},
		{"abi_wgsl_desc", "WGPUShaderModuleWGSLDescriptor"},
		{"abi_module_desc", "WGPUShaderModuleDescriptor"},
		{"abi_layout_entry", "WGPUBindGroupLayoutEntry"},
		{"abi_layout_desc", "WGPUBindGroupLayoutDescriptor"},
		{"abi_pipeline_layout_desc", "WGPUPipelineLayoutDescriptor"},
		{"abi_push_range", "WGPUPushConstantRange"},
		{"abi_pipeline_layout_extras", "WGPUPipelineLayoutExtras"},
		{"abi_pipeline_desc", "WGPUComputePipelineDescriptor"},
		{"abi_bind_entry", "WGPUBindGroupEntry"},
		{"abi_bind_group_desc", "WGPUBindGroupDescriptor"},
		{"abi_query_set_desc", "WGPUQuerySetDescriptor"},
	} {
		c.WriteString("_Static_assert(sizeof(" + pair[0] + ") == sizeof(" + pair[1] + "), \"" + pair[1] + "\");\n")
	}
	for _, field := range [][4]string{
		{"abi_instance_extras", "backends", "WGPUInstanceExtras", "backends"},
		{"abi_adapter_info", "description", "WGPUAdapterInfo", "description"},
		{"abi_adapter_info", "backend", "WGPUAdapterInfo", "backendType"},
		{"abi_adapter_info", "type", "WGPUAdapterInfo", "adapterType"},
		{"abi_adapter_info", "vendor_id", "WGPUAdapterInfo", "vendorID"},
		{"abi_limits", "storage_buffers", "WGPULimits", "maxStorageBuffersPerShaderStage"},
		{"abi_limits", "storage_binding_size", "WGPULimits", "maxStorageBufferBindingSize"},
		{"abi_limits", "storage_alignment", "WGPULimits", "minStorageBufferOffsetAlignment"},
		{"abi_limits", "buffer_size", "WGPULimits", "maxBufferSize"},
		{"abi_limits", "workgroup_memory", "WGPULimits", "maxComputeWorkgroupStorageSize"},
		{"abi_limits", "workgroup_invocations", "WGPULimits", "maxComputeInvocationsPerWorkgroup"},
		{"abi_limits", "workgroup_size_x", "WGPULimits", "maxComputeWorkgroupSizeX"},
		{"abi_limits", "workgroups_per_dimension", "WGPULimits", "maxComputeWorkgroupsPerDimension"},
		{"abi_device_desc", "limits", "WGPUDeviceDescriptor", "requiredLimits"},
		{"abi_device_desc", "lost", "WGPUDeviceDescriptor", "deviceLostCallback"},
		{"abi_device_desc", "uncaptured", "WGPUDeviceDescriptor", "uncapturedErrorCallbackInfo"},
		{"abi_buffer_desc", "usage", "WGPUBufferDescriptor", "usage"},
		{"abi_buffer_desc", "size", "WGPUBufferDescriptor", "size"},
		{"abi_wgsl_desc", "code", "WGPUShaderModuleWGSLDescriptor", "code"},
		{"abi_layout_entry", "visibility", "WGPUBindGroupLayoutEntry", "visibility"},
		{"abi_layout_entry", "buffer.type", "WGPUBindGroupLayoutEntry", "buffer.type"},
		{"abi_layout_desc", "entries", "WGPUBindGroupLayoutDescriptor", "entries"},
		{"abi_pipeline_layout_desc", "layouts", "WGPUPipelineLayoutDescriptor", "bindGroupLayouts"},
		{"abi_pipeline_desc", "layout", "WGPUComputePipelineDescriptor", "layout"},
		{"abi_limits_extras", "push_constants", "WGPURequiredLimitsExtras", "limits.maxPushConstantSize"},
		{"abi_push_range", "end", "WGPUPushConstantRange", "end"},
		{"abi_pipeline_layout_extras", "ranges", "WGPUPipelineLayoutExtras", "pushConstantRanges"},
		{"abi_pipeline_desc", "stage.module", "WGPUComputePipelineDescriptor", "compute.module"},
		{"abi_pipeline_desc", "stage.entry", "WGPUComputePipelineDescriptor", "compute.entryPoint"},
		{"abi_bind_entry", "buffer", "WGPUBindGroupEntry", "buffer"},
		{"abi_bind_entry", "size", "WGPUBindGroupEntry", "size"},
		{"abi_bind_group_desc", "layout", "WGPUBindGroupDescriptor", "layout"},
		{"abi_bind_group_desc", "entries", "WGPUBindGroupDescriptor", "entries"},
		{"abi_query_set_desc", "count", "WGPUQuerySetDescriptor", "count"},
	} {
		c.WriteString("_Static_assert(offsetof(" + field[0] + ", " + field[1] + ") == offsetof(" + field[2] + ", " + field[3] + "), \"" + field[2] + "." + field[3] + "\");\n")
	}
	for _, pair := range [][2]string{
		{"abi_chain_wgsl", "WGPUSType_ShaderModuleWGSLDescriptor"},
		{"abi_chain_required_limits", "WGPUSType_RequiredLimitsExtras"},
		{"abi_chain_pipeline_layout", "WGPUSType_PipelineLayoutExtras"},
		{"abi_push_constants", "WGPUNativeFeature_PushConstants"},
		{"abi_chain_instance", "WGPUSType_InstanceExtras"},
		{"abi_backend_vulkan", "WGPUInstanceBackend_Vulkan"},
		{"abi_backend_metal", "WGPUInstanceBackend_Metal"},
		{"abi_backend_dx12", "WGPUInstanceBackend_DX12"},
		{"abi_timestamp_query", "WGPUFeatureName_TimestampQuery"},
		{"abi_query_timestamp", "WGPUQueryType_Timestamp"},
		{"abi_stage_compute", "WGPUShaderStage_Compute"},
		{"abi_map_read", "WGPUMapMode_Read"},
		{"abi_usage_map_read", "WGPUBufferUsage_MapRead"},
		{"abi_usage_copy_src", "WGPUBufferUsage_CopySrc"},
		{"abi_usage_copy_dst", "WGPUBufferUsage_CopyDst"},
		{"abi_usage_storage", "WGPUBufferUsage_Storage"},
		{"abi_usage_query_resolve", "WGPUBufferUsage_QueryResolve"},
		{"abi_binding_storage", "WGPUBufferBindingType_Storage"},
		{"abi_binding_read_only", "WGPUBufferBindingType_ReadOnlyStorage"},
		{"abi_error_out_of_memory", "WGPUErrorType_OutOfMemory"},
		{"abi_log_info", "WGPULogLevel_Info"},
		{"4", "WGPUBackendType_D3D12"},
		{"5", "WGPUBackendType_Metal"},
		{"6", "WGPUBackendType_Vulkan"},
		{"0", "WGPUAdapterType_DiscreteGPU"},
		{"1", "WGPUAdapterType_IntegratedGPU"},
		{"2", "WGPUAdapterType_CPU"},
	} {
		c.WriteString("_Static_assert((int)" + pair[0] + " == (int)" + pair[1] + ", \"" + pair[1] + "\");\n")
	}

	source := filepath.Join(t.TempDir(), "abi.c")
	require.NoError(t, os.WriteFile(source, []byte(c.String()), 0o644))
	headers := filepath.Join(strings.TrimSpace(string(module)), "wgpu", "lib")
	out, err := exec.Command(compiler, "-fsyntax-only", "-I", here, "-I", headers, source).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
