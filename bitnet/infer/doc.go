// Package infer uses a model: it continues texts, holds conversations and
// measures losses.
//
// Open loads a model. A Generator continues several sequences at once and keeps
// what it computed of them; a Session writes texts one after another with it;
// a Batch writes several that come and go; a Sampler chooses tokens; a ChatFormat
// turns a conversation into a text; a Scorer measures the loss over data.
package infer
