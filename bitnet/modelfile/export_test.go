package modelfile

// What tests of this package see besides the exported names.

const (
	HeadName  = headName
	IndexName = indexName
	MaxJSON   = maxJSON
)

// RopeParameters is ropeParameters.
type RopeParameters = ropeParameters
