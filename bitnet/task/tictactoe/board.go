package tictactoe

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// position is which cells X and O hold: bit c-1 stands for cell c.
type position struct{ x, o uint16 }

const (
	cells     = 9
	fullBoard = 1<<cells - 1
)

var lines = [8]uint16{0o007, 0o070, 0o700, 0o111, 0o222, 0o444, 0o421, 0o124}

func hasLine(held uint16) bool {
	for _, line := range lines {
		if held&line == line {
			return true
		}
	}
	return false
}

// xToMove reports whether it is X's turn; X begins.
func (p position) xToMove() bool { return bits.OnesCount16(p.x) == bits.OnesCount16(p.o) }

func (p position) free() uint16 { return fullBoard &^ (p.x | p.o) }

func (p position) over() bool { return p.free() == 0 || hasLine(p.x) || hasLine(p.o) }

// play gives the cell, which must be free, to the side to move.
func (p position) play(cell int) position {
	if p.xToMove() {
		p.x |= 1 << (cell - 1)
	} else {
		p.o |= 1 << (cell - 1)
	}
	return p
}

// Board is a game of tic-tac-toe so far. The zero value is the empty board,
// with X to move. Cells are numbered 1 to 9, row by row.
type Board struct {
	position position
	moves    [cells]byte // '1' to '9'
	played   int
}

// Play makes a move for the side whose turn it is. An illegal one is refused
// and changes nothing.
func (b *Board) Play(cell int) error {
	switch {
	case cell < 1 || cell > cells:
		return fmt.Errorf("there is no cell %d; choose one from 1 to 9", cell)
	case b.Over():
		return fmt.Errorf("the game is over; start a new one")
	case b.Mark(cell) != 0:
		return fmt.Errorf("cell %d is taken; choose one of %s", cell, b.legalText())
	}
	b.position = b.position.play(cell)
	b.moves[b.played] = '0' + byte(cell)
	b.played++
	return nil
}

// Legal lists the cells that may be played, in ascending order.
func (b *Board) Legal() []int {
	var out []int
	if b.Over() {
		return out
	}
	for free := b.position.free(); free != 0; free &= free - 1 {
		out = append(out, bits.TrailingZeros16(free)+1)
	}
	return out
}

// legalText is Legal in words, "2, 3, 6".
func (b *Board) legalText() string {
	var out []string
	for _, cell := range b.Legal() {
		out = append(out, strconv.Itoa(cell))
	}
	return strings.Join(out, ", ")
}

// Mark is who holds the cell: 'X', 'O', or 0 for nobody.
func (b *Board) Mark(cell int) byte {
	if cell < 1 || cell > cells {
		return 0
	}
	switch bit := uint16(1) << (cell - 1); {
	case b.position.x&bit != 0:
		return 'X'
	case b.position.o&bit != 0:
		return 'O'
	}
	return 0
}

// Turn is who moves next, 'X' or 'O'; 0 when the game is over.
func (b *Board) Turn() byte {
	switch {
	case b.Over():
		return 0
	case b.position.xToMove():
		return 'X'
	}
	return 'O'
}

// Over reports whether somebody has won or the board is full.
func (b *Board) Over() bool { return b.position.over() }

// Winner is 'X', 'O', or 0 for nobody (yet).
func (b *Board) Winner() byte {
	switch {
	case hasLine(b.position.x):
		return 'X'
	case hasLine(b.position.o):
		return 'O'
	}
	return 0
}

// Text is the game as a model reads it: the cells in the order of the moves,
// "5137". The next token (after <s> and this) is the next move, or </s> at the end.
func (b *Board) Text() string { return string(b.moves[:b.played]) }
