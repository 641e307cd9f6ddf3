package gpu_test

import _ "bitnet/gpu/internal/fake"
