// libfne's own TensorFlow operations, registered through TensorFlow's C API for kernels (tensorflow/c/ops.h and
// tensorflow/c/kernels.h), for the CPU:
//
//     FneMapMean  map: T [n, height, width, channels] -> mean: float [n, channels]
//     FneLRN      x: T [.., channels], attributes and meaning of TensorFlow's LRN -> y: T
//     FneAdd      x, y: bfloat16, broadcast as TensorFlow's AddV2 does -> z = x + y, at least 0 with the attribute relu
//
// T is float or bfloat16; sums are float.
#ifndef CTENSORFLOWOPERATIONS_H
#define CTENSORFLOWOPERATIONS_H

// Registers them with a library that dlopen returned. Once per process. Returns NULL, or what is missing or went wrong,
// as a string that lives as long as the process; a graph must then do without them.
const char *cto_register(void *library);

#endif
