//go:build cgo

package wgpu

import "os"

// environment holds what graphics drivers read from the environment when they
// are loaded, by variable. What the user has set stays.
var environment = map[string]string{}

func setEnvironment() {
	for name, value := range environment {
		if _, set := os.LookupEnv(name); !set {
			os.Setenv(name, value)
		}
	}
}
