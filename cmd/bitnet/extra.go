package main

import "github.com/spf13/cobra"

// addDataCommands adds the commands about text.
func addDataCommands(root *cobra.Command) {
	root.AddCommand(tokenizerCommand(), dataCommand())
}
