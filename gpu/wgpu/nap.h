// bn_nap suspends the calling thread for about some nanoseconds, less than a
// second.
#ifndef BITNET_WGPU_NAP_H
#define BITNET_WGPU_NAP_H

void bn_nap(long ns);

#endif
