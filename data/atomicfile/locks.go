package atomicfile

import "runtime"

const (
	// locks says whether a file that is being written can be locked. On Windows a
	// lock keeps even its own process from writing, and an open file from being
	// renamed; a browser has no locks.
	locks = folderLocks && runtime.GOOS != "windows"
	// folderLocks says whether the folder of a Folder can be locked, by a file in it.
	folderLocks = runtime.GOOS != "js"
)
