//go:build !cgo

// Package wgpu drives Vulkan, Metal and DX12 adapters through wgpu-native, which
// needs cgo. This build has no cgo, so the driver only says how to get it.
package wgpu

import (
	"errors"

	"bitnet/gpu/driver"
)

var errNoCgo = errors.New("wgpu: built without cgo: build with CGO_ENABLED=1 and a C compiler")

func init() { driver.Register(backend{}) }

type backend struct{}

func (backend) Info() driver.Info { return info }

func (backend) Ready() error { return errNoCgo }

func (backend) Adapters() ([]driver.Adapter, error) { return nil, errNoCgo }

func (backend) Open(int) (driver.Device, error) { return nil, errNoCgo }
