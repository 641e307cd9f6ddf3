package tictactoe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/task"
)

// play plays one game on a terminal. No rule corrects the model: an illegal
// choice loses.
func play(ctx context.Context, m *infer.Model, o task.Match, in io.Reader, out io.Writer) error {
	p, err := newPlayer(m.Model, m.Tokenizer, 1)
	if err != nil {
		return err
	}
	defer p.Release()
	g := &game{
		out: out, model: p, other: o.Side[0], opponent: o.Opponent,
		random: rand.New(rand.NewPCG(o.Seed, 0x706c6179)),
	}
	if o.Opponent == task.Person {
		g.lines = typedLines(in)
		fmt.Fprintln(out, "type the number of a cell; q leaves the game")
	}
	return g.play(ctx)
}

// game is a game on a terminal.
type game struct {
	out      io.Writer
	lines    <-chan string // what a person types; closed at its end
	model    *player
	other    byte // the side of the model's opponent
	opponent string
	random   *rand.Rand
	board    [1]Board
}

// typedLines reads lines in the background, so that waiting for one can be ended.
func typedLines(in io.Reader) <-chan string {
	out := make(chan string)
	go func() {
		defer close(out)
		for s := bufio.NewScanner(in); s.Scan(); {
			out <- s.Text()
		}
	}()
	return out
}

// errLeft ends a game that a person leaves.
var errLeft = errors.New("left the game")

func (g *game) play(ctx context.Context) error {
	b := &g.board[0]
	other := "the " + g.opponent + " player"
	if g.opponent == task.Person {
		other = "you"
	}
	for !b.Over() {
		if g.opponent != task.Person || b.Turn() == g.other {
			g.draw()
		}
		if b.Turn() == g.other {
			cell, err := g.choose(ctx)
			if errors.Is(err, errLeft) {
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
		chosen, err := g.model.choose(ctx, g.board[:], []int{0})
		if err != nil {
			return err
		}
		if err := b.Play(chosen[0]); err != nil {
			g.draw()
			fmt.Fprintf(g.out, "the model chose %d, which is not a legal move: it loses\n", chosen[0])
			return nil
		}
		fmt.Fprintf(g.out, "the model plays %d\n", chosen[0])
	}
	g.draw()
	switch b.Winner() {
	case 0:
		fmt.Fprintln(g.out, "a draw")
	case g.other:
		fmt.Fprintf(g.out, "%s won\n", other)
	default:
		fmt.Fprintln(g.out, "the model won")
	}
	return nil
}

// choose is the move of the model's opponent.
func (g *game) choose(ctx context.Context) (int, error) {
	b := g.board[0]
	if g.opponent != task.Person {
		cell := opponentMove(b, g.opponent, g.random)
		fmt.Fprintf(g.out, "the %s player plays %d\n", g.opponent, cell)
		return cell, nil
	}
	for {
		fmt.Fprintf(g.out, "your move (%c): ", g.other)
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case line, ok := <-g.lines:
			line = strings.ToLower(strings.TrimSpace(line))
			if !ok || line == "q" || line == "quit" {
				return 0, errLeft
			}
			if cell, err := strconv.Atoi(line); err == nil {
				return cell, nil
			}
			fmt.Fprintln(g.out, "type the number of a free cell, or q to leave")
		}
	}
}

// draw shows the board; free cells have their numbers.
func (g *game) draw() {
	for row := range 3 {
		var marks []string
		for col := range 3 {
			cell := 3*row + col + 1
			mark := strconv.Itoa(cell)
			if m := g.board[0].Mark(cell); m != 0 {
				mark = string(m)
			}
			marks = append(marks, " "+mark+" ")
		}
		fmt.Fprintln(g.out, strings.Join(marks, "|"))
		if row < 2 {
			fmt.Fprintln(g.out, "---+---+---")
		}
	}
}
