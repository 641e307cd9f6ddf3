// Package browser drives the GPU of a web page or a Web Worker through
// navigator.gpu. It is the driver of programs that are compiled to WebAssembly.
//
// The browser's interface works with promises. A goroutine that calls a device
// waits for them, and the event loop of the page goes on meanwhile; no call may
// come from a callback of JavaScript itself, which cannot wait.
//
// Half of the driver is JavaScript (gpu.js), which holds kernels and recorded
// programs, because each call from WebAssembly into JavaScript costs about as
// much as a dispatch. The page has to load Script before the program starts.
//
// The package registers its driver.
package browser

import _ "embed"

// Script is gpu.js, which a page or a worker loads before the program.
//
//go:embed gpu.js
var Script []byte
