//go:build !cgo

// Package wgpu drives Vulkan, Metal and DX12 adapters through wgpu-native,
// which takes cgo; this build has none.
package wgpu

import (
	"errors"

	"bitnet/gpu/driver"
)

var errNoCgo = errors.New("wgpu: built without cgo: build with CGO_ENABLED=1 and a C compiler")

type Driver struct{}

func New() *Driver { return &Driver{} }

func (*Driver) Name() string { return "wgpu" }

func (*Driver) Adapters() ([]driver.Adapter, error) { return nil, errNoCgo }

func (*Driver) Open(int) (driver.Device, error) { return nil, errNoCgo }
