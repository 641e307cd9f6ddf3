package wgpu

import "bitnet/gpu/driver"

var info = driver.Info{Name: "wgpu", Default: true}
