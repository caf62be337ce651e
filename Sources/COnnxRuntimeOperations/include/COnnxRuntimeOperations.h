// libfne's own operators for ONNX Runtime, with kernels for the CPU.
#ifndef CONNXRUNTIMEOPERATIONS_H
#define CONNXRUNTIMEOPERATIONS_H

#include "COnnxRuntime.h"

// The domain of the operators, and its version.
#define CORTO_DOMAIN "fne"
enum { CORTO_VERSION = 1 };

// Makes the domain, which must live as long as the sessions that use it. It holds one operator:
//
// - FneLRN is ONNX's LRN with the same attributes, for float32 [n, channels, ..] and an odd size. ONNX Runtime's own
//   computes a power of each value by exp and log.
//
// There is one copy of ONNX Runtime in a process, so that the functions of *api are kept for all kernels. Returns NULL
// on success.
OrtStatus *corto_make_domain(const cort_api *api, OrtCustomOpDomain **domain);

#endif
