package cluster

import (
	"fmt"
	"os"
	"strconv"
)

// LibraryVariable is the environment variable that names the MPI library to load,
// where the right one is not found by itself.
const LibraryVariable = "BITNET_MPI_LIBRARY"

// launch is what the environment says of the launcher.
type launch struct {
	size      int // ranks; 0 if the launcher does not say, 1 without one
	libraries []string
}

// The names of the libraries as loaders find them. Intel MPI's is that of MPICH.
var (
	openMPILibraries = []string{"libmpi.so.40", "libmpi.so.80", "libmpi.40.dylib"}
	mpichLibraries   = []string{"libmpi.so.12", "libmpich.so.12", "libmpi.12.dylib", "libpmpi.12.dylib"}
	anyLibrary       = []string{"libmpi.so", "libmpich.so", "libmpi.dylib"}
)

// findLaunch reads the environment that mpirun, mpiexec and srun set.
func findLaunch(env func(string) string) (launch, error) {
	number := func(name string) int {
		n, err := strconv.Atoi(env(name))
		if err != nil || n < 0 {
			return 0
		}
		return n
	}
	l := launch{size: 1}
	switch {
	case env("OMPI_COMM_WORLD_SIZE") != "":
		l = launch{number("OMPI_COMM_WORLD_SIZE"), concat(openMPILibraries, anyLibrary)}
	case env("PMI_RANK") != "" && env("PMI_SIZE") != "":
		l = launch{number("PMI_SIZE"), concat(mpichLibraries, anyLibrary, openMPILibraries)}
	case env("PMIX_RANK") != "":
		l = launch{number("SLURM_STEP_NUM_TASKS"), concat(openMPILibraries, mpichLibraries, anyLibrary)}
	case number("SLURM_STEP_NUM_TASKS") > 1:
		return l, fmt.Errorf("srun started %s tasks without MPI, so that each would train alone: give srun --mpi=pmix or --mpi=pmi2 (srun --mpi=list shows what there is)", env("SLURM_STEP_NUM_TASKS"))
	}
	if own := env(LibraryVariable); own != "" {
		l.libraries = []string{own}
	}
	return l, nil
}

func concat(lists ...[]string) []string {
	var all []string
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// settings for MPI libraries that are set before they are loaded, unless the
// user has set them: Go handles signals by itself.
var settings = []struct{ name, value string }{
	{"OMPI_MCA_opal_signal", ""},  // Open MPI: no handlers that print a stack
	{"UCX_HANDLE_ERRORS", "none"}, // UCX: the same
	{"UCX_WARN_UNUSED_ENV_VARS", "n"},
}

func applySettings() {
	for _, s := range settings {
		if _, set := os.LookupEnv(s.name); !set {
			_ = os.Setenv(s.name, s.value)
		}
	}
}
