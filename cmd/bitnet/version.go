package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// release is set by the linker in a release: -X main.release=v1.0.0.
var release = ""

// version says which program this is: the release, the commit it was built
// from and its date, and Go's version and the platform.
func version() string {
	v := release
	if v == "" {
		v = "development"
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		settings := map[string]string{}
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		v += commitOf(settings)
	}
	return fmt.Sprintf("%s (%s, %s/%s)", v, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// commitOf words what Go noted of the commit; "" for a build without it.
func commitOf(settings map[string]string) string {
	revision := settings["vcs.revision"]
	if revision == "" {
		return ""
	}
	out := fmt.Sprintf(" %.12s", revision)
	if day, _, ok := strings.Cut(settings["vcs.time"], "T"); ok {
		out += " of " + day
	}
	if settings["vcs.modified"] == "true" {
		out += " with changes"
	}
	return out
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version, the commit, its date and the platform",
		Example: `  bitnet version`,
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "bitnet", version())
			return err
		},
	}
}
