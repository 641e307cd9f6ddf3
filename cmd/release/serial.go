package main

import (
	"crypto/sha256"
	"fmt"
)

// serial is a UUID (RFC 9562, version 8) that depends on what is released alone.
func serial(t target, from source) string {
	id := sha256.Sum256([]byte(t.String() + "\x00" + from.version + "\x00" + from.commit))
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
}
