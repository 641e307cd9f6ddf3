package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"bitnet/bitnet/task"
	"bitnet/bitnet/task/catalog"
)

func playCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "play",
		Short:   "Play a game against a trained model",
		Example: `  bitnet play tictactoe my_run`,
	}
	for _, k := range catalog.Games() {
		c.AddCommand(playGameCommand(k))
	}
	return c
}

func playGameCommand(k task.Kind) *cobra.Command {
	var f modelFlags
	o := task.Match{Games: 1, Seed: rand.Uint64()}
	opponents := append([]string{task.Person}, k.Game.Opponents...)
	c := &cobra.Command{
		Use:   k.Name + " [MODEL]",
		Short: "Play " + k.Name,
		Long: fmt.Sprintf(`Play %s with a model that was trained on it (without MODEL, the newest run),
or watch it play one game against a program. No rule corrects the model: an
illegal choice loses the game. q or Ctrl-D leaves the game.

`, k.Name) + modelHelp,
		Example: fmt.Sprintf(`  bitnet play %[1]s my_run
  bitnet play %[1]s my_run --as %[2]s
  bitnet play %[1]s my_run --against %[3]s`, k.Name, k.Game.Sides[len(k.Game.Sides)-1], k.Game.Opponents[0]),
		Args: atMost(1, "one model"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("--as", o.Side, k.Game.Sides); err != nil {
				return err
			}
			if err := oneOf("--against", o.Opponent, opponents); err != nil {
				return err
			}
			path, err := f.orNewest(args)
			if err != nil {
				return err
			}
			dev, m, err := f.openModel(c, path)
			if err != nil {
				return err
			}
			defer dev.Close()
			return k.Game.Play(c.Context(), m, o, c.InOrStdin(), c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&o.Side, "as", k.Game.Sides[0], "the side that plays against the model: "+k.Game.Sides[0]+" begins")
	c.Flags().Uint64Var(&o.Seed, "seed", o.Seed, "random seed of a program that plays against the model (default: random)")
	c.Flags().Lookup("seed").DefValue = "0"
	c.Flags().StringVar(&o.Opponent, "against", task.Person, "who plays against the model: "+strings.Join(opponents, ", "))
	f.add(c.Flags())
	return c
}

func arenaCommand() *cobra.Command {
	var f modelFlags
	var asJSON, list bool
	var game string
	var o task.Match
	games := catalog.Games()
	var names []string
	for _, k := range games {
		names = append(names, k.Name)
	}
	first := games[0].Game
	c := &cobra.Command{
		Use:   "arena MODEL",
		Short: "Let a model play many games and count the results",
		Long: `Let a model play many games against a program. The model chooses its likeliest
token, and no rule corrects it: an illegal choice loses the game and is counted.

` + modelHelp,
		Example: `  bitnet arena my_run
  bitnet arena my_run --games 1000 --against perfect --as O
  bitnet arena testdata/tictactoe --games 100 --list`,
		Args: exactly(1, modelArgument),
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("--game", game, names); err != nil {
				return err
			}
			play := games[slices.Index(names, game)].Game
			if err := oneOf("--against", o.Opponent, play.Opponents); err != nil {
				return err
			}
			if err := oneOf("--as", o.Side, append([]string{""}, play.Sides...)); err != nil {
				return err
			}
			if o.Games < 1 {
				return usageError{fmt.Errorf("--games %d: want 1 or more", o.Games)}
			}
			dev, m, err := f.openModel(c, args[0])
			if err != nil {
				return err
			}
			defer dev.Close()
			out := c.OutOrStdout()
			var each func(string)
			if list {
				each = func(line string) { fmt.Fprintln(out, line) }
			}
			scores, err := play.Contest(c.Context(), m, o, each)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(out).Encode(map[string]any{"games": o.Games, "against": o.Opponent, "as": o.Side, "scores": scores})
			}
			side := "as " + strings.Join(play.Sides, " and ") + " in turn"
			if o.Side != "" {
				side = "as " + o.Side
			}
			fmt.Fprintf(out, "%d games against a %s player, %s\n", o.Games, o.Opponent, side)
			for _, s := range scores {
				fmt.Fprintf(out, "  %-12s %s\n", s.Name, s)
			}
			return nil
		},
	}
	c.Flags().StringVar(&game, "game", names[0], "which game: "+strings.Join(names, ", "))
	c.Flags().IntVar(&o.Games, "games", 1000, "how many games")
	c.Flags().StringVar(&o.Opponent, "against", first.Opponents[0], "the program that plays against the model: "+strings.Join(first.Opponents, ", "))
	c.Flags().StringVar(&o.Side, "as", "", "the model's side: "+strings.Join(first.Sides, ", ")+" (default: in turn)")
	c.Flags().Uint64Var(&o.Seed, "seed", 1, "random seed of the program")
	c.Flags().BoolVar(&list, "list", false, "show every game")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	f.add(c.Flags())
	return c
}
