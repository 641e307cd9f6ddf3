package atomicfile

// locks is false: on Windows a lock keeps even its own process from writing, and an
// open file from being renamed.
const locks = false

// SyncDir has nothing to do: folders cannot be synced on Windows.
func SyncDir(string) error { return nil }
