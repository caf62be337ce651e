// libfne's own TensorFlow operations for the CPU. They are registered through TensorFlow's C API for kernels
// (tensorflow/c/ops.h and tensorflow/c/kernels.h):
//
//     FneMapMean  map: T [n, height, width, channels] -> mean: float [n, channels]
//     FneLRN      x: T [.., channels], attributes and meaning of TensorFlow's LRN -> y: T
//     FneAdd      x, y: bfloat16, broadcast as TensorFlow's AddV2 does -> z = x + y, at least 0 with the attribute relu
//     FneDepthwiseBlock  x: float [n, height, width, channels], and weights and a bias of each of three convolutions,
//                        1 x 1, depthwise and 1 x 1 -> the last one's map, and the means of the three maps: float
//                        [n, channels]. Without the attribute expands, the first convolution is left out, and its
//                        weights are not read. Zeros surround what the depthwise convolution reads, so many as top,
//                        bottom, left and right say, or with the attribute same as TensorFlow's SAME says. A limit says
//                        whether results are any (0), at least 0 (1), or from 0 to 6 (2).
//
// T is float or bfloat16. Sums are computed in float.
//
// Several copies of libfne in one process share the operations of the copy that registered them first. So an operation
// whose results change in any bit gets a new name, such as FneLRNV2, as TensorFlow names its own.
#ifndef CTENSORFLOWOPERATIONS_H
#define CTENSORFLOWOPERATIONS_H

// Registers the operations with a library that dlopen returned. Operations that another
// copy of libfne has registered are kept. Returns NULL on success, else
// a text that says what is missing or failed, and lives as long as the process. After a failure graphs must do without
// the operations.
const char *cto_register(void *library);

#endif
