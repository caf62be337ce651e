// Swift programs import this module. It exports everything that is public in the library's other modules. Calls compute
// in the floating-point environment of the calling thread. A program that has changed its rounding, or flushes denormal
// numbers, gets other results (docs/numerics.md).
@_exported import FNECodes
@_exported import FNEEmbedding
@_exported import FNEImage
@_exported import FNEJob
@_exported import FNENetwork
@_exported import FNEPipeline
@_exported import FNESupport
