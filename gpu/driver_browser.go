//go:build js

package gpu

import _ "bitnet/gpu/browser"
