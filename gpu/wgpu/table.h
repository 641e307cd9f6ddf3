// The uniform table (see driver.UniformTable) is a range of push constants.
// wgpu-native 0.19 has no function to set those of a compute pass, but it contains
// wgpu-core, which exports one.
#ifndef BITNET_WGPU_TABLE_H
#define BITNET_WGPU_TABLE_H

enum { bn_table_size = 256 };

// bn_table_offered says whether the library that was linked has that function.
int bn_table_offered(void);

// bn_table_set sets the table in a compute pass that has a pipeline.
void bn_table_set(void *pass);

#endif
