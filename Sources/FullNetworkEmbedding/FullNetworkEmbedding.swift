// The module that Swift programs import: what is public in the rooms of the library, as one.
@_exported import FNECodes
@_exported import FNEEmbedding
@_exported import FNEImage
@_exported import FNEJob
@_exported import FNENetwork
@_exported import FNEPipeline
@_exported import FNESupport
