package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"bitnet/bitnet/suggest"
	"bitnet/bitnet/train"
)

// usageError is a mistake in the command line: exit code 2.
type usageError struct{ error }

// isUsage reports whether an error is a mistake in the command line or in the
// configuration that it names.
func isUsage(err error) bool {
	var u usageError
	var c *train.ConfigError
	return errors.As(err, &u) || errors.As(err, &c)
}

// exactly is cobra.ExactArgs with an error that ends in exit code 2.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("want %s, got %s; see %s --help", what, arguments(args), c.CommandPath())}
		}
		return nil
	}
}

func arguments(args []string) string {
	switch len(args) {
	case 0:
		return "no arguments"
	case 1:
		return fmt.Sprintf("%q", args[0])
	}
	return fmt.Sprintf("%d arguments", len(args))
}

// refuseUnknown makes commands that only hold others refuse what is not one of
// them, in one line with the nearest name.
func refuseUnknown(c *cobra.Command) {
	if !c.Runnable() && c.HasSubCommands() {
		c.Args = cobra.ArbitraryArgs
		c.DisableFlagsInUseLine = true
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			var names []string
			for _, sub := range c.Commands() {
				if sub.IsAvailableCommand() {
					names = append(names, sub.Name())
				}
			}
			return usageError{fmt.Errorf("%s has no command %q%s; see %s --help", c.CommandPath(), args[0], suggest.DidYouMean(args[0], names), c.CommandPath())}
		}
	}
	for _, sub := range c.Commands() {
		refuseUnknown(sub)
	}
}

// flagError says in words what is wrong with a flag.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() != "" {
			err = fmt.Errorf("there is no flag -%s", name)
			break
		}
		var names []string
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		meant := suggest.Nearest(name, names)
		if meant != "" {
			meant = " (did you mean --" + meant + "?)"
		}
		err = fmt.Errorf("there is no flag --%s%s", name, meant)
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		err = fmt.Errorf("--%s %q: want %s", f.Name, invalid.GetValue(), kindOf(f))
	case errors.As(err, &missing):
		err = fmt.Errorf("--%s needs a value", missing.GetSpecifiedName())
	}
	return usageError{fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
}

// kindOf says what a flag's value has to be.
func kindOf(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "int", "int64":
		return "a whole number"
	case "uint64", "uint":
		return "a whole number, 0 or more"
	case "float64":
		return "a number"
	case "bool":
		return "true or false"
	case "duration":
		return "a time such as 30s or 5m"
	case "intSlice":
		return "whole numbers separated by commas"
	}
	return "a different value"
}

// oneOf is an error for a value that is not one of some names.
func oneOf(flag, value string, names []string) error {
	if slices.Contains(names, value) {
		return nil
	}
	return usageError{fmt.Errorf("%s %q%s: choose one of %s", flag, value, suggest.DidYouMean(value, names), strings.Join(names, ", "))}
}
