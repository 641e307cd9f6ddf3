package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"bitnet/bitnet"
	"bitnet/data"
)

func playCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "play",
		Short:   "Play a game against a trained model",
		Example: `  bitnet play tictactoe runs/my_run`,
	}
	c.AddCommand(playTicTacToeCommand())
	return c
}

func playTicTacToeCommand() *cobra.Command {
	var on adapterFlags
	var as, against, runsDir string
	c := &cobra.Command{
		Use:   "tictactoe [MODEL]",
		Short: "Play tic-tac-toe",
		Long: `Play tic-tac-toe with a model of the experiment tictactoe (without MODEL, the
newest run), or watch it play one game against another player. The model
chooses alone: what it chooses is played, and an illegal choice loses.`,
		Example: `  bitnet play tictactoe runs/my_run
  bitnet play tictactoe runs/my_run --as O
  bitnet play tictactoe runs/my_run --against perfect`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if as != "X" && as != "O" {
				return usageError{fmt.Errorf("--as %s: you are X, who begins, or O", as)}
			}
			if against != "person" && against != "random" && against != "perfect" {
				return usageError{fmt.Errorf("--against %s: want person, random or perfect", against)}
			}
			path, err := modelOrNewest(args, runsDir)
			if err != nil {
				return err
			}
			dev, m, err := openModel(c, &on, path)
			if err != nil {
				return err
			}
			defer dev.Close()
			p, err := m.NewPlayer(dev, m.Tokenizer, 1)
			if err != nil {
				return err
			}
			g := game{out: c.OutOrStdout(), in: bufio.NewReader(c.InOrStdin()), model: p, other: as[0], against: against}
			return g.play()
		},
	}
	c.Flags().StringVar(&as, "as", "X", "the side that plays against the model: X begins")
	c.Flags().StringVar(&against, "against", "person", "who plays against the model: person, random, perfect")
	c.Flags().StringVar(&runsDir, "runs-dir", "runs", "where runs are kept")
	on.add(c.Flags())
	return c
}

type game struct {
	out     io.Writer
	in      *bufio.Reader
	model   *bitnet.Player
	other   byte // the side of the model's opponent
	against string
	board   [1]data.Board
}

func (g *game) play() error {
	b := &g.board[0]
	who := map[bool]string{true: "the " + g.against + " player", false: "the model"}
	if g.against == "person" {
		who[true] = "you"
	}
	for !b.Over() {
		if g.against == "person" && b.Turn() == g.other || g.against != "person" {
			g.draw()
		}
		if b.Turn() == g.other {
			cell, err := g.choose()
			if errors.Is(err, io.EOF) {
				fmt.Fprintln(g.out, "\nleft the game")
				return nil
			}
			if err != nil {
				return err
			}
			if err := b.Play(cell); err != nil {
				fmt.Fprintln(g.out, err)
			}
			continue
		}
		cells, err := g.model.Choose(g.board[:], []int{0})
		if err != nil {
			return err
		}
		if err := b.Play(cells[0]); err != nil {
			g.draw()
			fmt.Fprintf(g.out, "the model chose %d, which is no legal move: it loses\n", cells[0])
			return nil
		}
		fmt.Fprintf(g.out, "the model plays %d\n", cells[0])
	}
	g.draw()
	switch b.Winner() {
	case 0:
		fmt.Fprintln(g.out, "a draw")
	case g.other:
		fmt.Fprintf(g.out, "%s won\n", who[true])
	default:
		fmt.Fprintf(g.out, "%s won\n", who[false])
	}
	return nil
}

// choose is the move of the model's opponent.
func (g *game) choose() (int, error) {
	b := g.board[0]
	if g.against != "person" {
		moves := b.Legal()
		if g.against == "perfect" {
			moves = data.PerfectMoves(b)
		}
		cell := moves[rand.IntN(len(moves))]
		fmt.Fprintf(g.out, "the %s player plays %d\n", g.against, cell)
		return cell, nil
	}
	for {
		fmt.Fprintf(g.out, "your move (%c): ", g.other)
		line, err := g.in.ReadString('\n')
		cell, bad := strconv.Atoi(strings.TrimSpace(line))
		if bad == nil {
			return cell, nil
		}
		if err != nil {
			return 0, err
		}
		fmt.Fprintln(g.out, "type the number of a free cell")
	}
}

// draw shows the board; free cells have their numbers.
func (g *game) draw() {
	for row := range 3 {
		var cells []string
		for col := range 3 {
			cell := 3*row + col + 1
			mark := strconv.Itoa(cell)
			if m := g.board[0].Mark(cell); m != 0 {
				mark = string(m)
			}
			cells = append(cells, " "+mark+" ")
		}
		fmt.Fprintln(g.out, strings.Join(cells, "|"))
		if row < 2 {
			fmt.Fprintln(g.out, "---+---+---")
		}
	}
}

func arenaCommand() *cobra.Command {
	var on adapterFlags
	var asJSON, list bool
	var o bitnet.ArenaOptions
	c := &cobra.Command{
		Use:   "arena MODEL",
		Short: "Let a model play many games of tic-tac-toe and count",
		Long: `Let a model of the experiment tictactoe play against a player who makes random
moves, or against one who never loses. The model chooses its likeliest token,
and no rule corrects it: an illegal choice loses the game and is counted.`,
		Example: `  bitnet arena runs/my_run
  bitnet arena runs/my_run --games 1000 --against perfect --as O
  bitnet arena testdata/tictactoe --games 100 --list`,
		Args: exactly(1, "a run, a checkpoint or a model"),
		RunE: func(c *cobra.Command, args []string) error {
			dev, m, err := openModel(c, &on, args[0])
			if err != nil {
				return err
			}
			defer dev.Close()
			out := c.OutOrStdout()
			var each func(string, byte, string)
			if list {
				each = func(game string, model byte, result string) {
					fmt.Fprintf(out, "%-9s model %c: %s\n", game, model, result)
				}
			}
			r, err := m.Arena(dev, m.Tokenizer, o, each)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(out).Encode(r)
			}
			side := "as X and O in turn"
			if o.As != "" {
				side = "as " + o.As
			}
			fmt.Fprintf(out, "%d games against a %s player, %s: %d won, %d drawn, %d lost\n", r.Games, o.Against, side, r.Wins, r.Draws, r.Losses)
			fmt.Fprintf(out, "%d of the model's %d moves were illegal: %.2f%% legal\n", r.Illegal, r.Moves, 100*r.LegalRate())
			return nil
		},
	}
	c.Flags().IntVar(&o.Games, "games", 1000, "how many")
	c.Flags().StringVar(&o.Against, "against", "random", "the other player: random or perfect")
	c.Flags().StringVar(&o.As, "as", "", "the model's side: X, who begins, or O (default: in turn)")
	c.Flags().Uint64Var(&o.Seed, "seed", 1, "of the other player")
	c.Flags().BoolVar(&list, "list", false, "show every game")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	on.add(c.Flags())
	return c
}
