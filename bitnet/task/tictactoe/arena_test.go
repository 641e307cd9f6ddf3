package tictactoe

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
	"bitnet/data/tokenizer"
	"bitnet/graph"
)

// shipped opens the model of testdata that was trained on tic-tac-toe.
func shipped(t *testing.T) *infer.Model {
	t.Helper()
	dev := modeltest.Device(t)
	m, err := infer.Open(context.Background(), dev, "", filepath.Join("..", "..", "..", "testdata", "tictactoe"), func(s string) { t.Error(s) })
	require.NoError(t, err)
	t.Cleanup(m.Release)
	return m
}

// The model alone chooses: it must know the rules, and how not to lose.
func TestShippedModelNeverLoses(t *testing.T) {
	m := shipped(t)
	for _, o := range []task.Match{
		{Games: 1000, Opponent: "random", Side: "X", Seed: 11},
		{Games: 1000, Opponent: "random", Side: "O", Seed: 12},
		{Games: 200, Opponent: "perfect", Seed: 13},
	} {
		p, err := newPlayer(m.Model, m.Tokenizer, atOnce)
		require.NoError(t, err)
		r, err := p.contest(context.Background(), o, func(moves string, side byte, end string) {
			if end != "won" && end != "draw" {
				t.Errorf("%s as %c: %s", moves, side, end)
			}
		})
		p.Release()
		require.NoError(t, err)
		require.Equal(t, o.Games, r.games)
		require.Equal(t, o.Games, r.wins+r.draws)
		require.GreaterOrEqual(t, r.moves, 2*o.Games)
		if o.Opponent == "random" {
			require.Greater(t, r.wins, o.Games/2)
		}
	}
}

// What a contest counts is true of a model that knows nothing.
func TestContestCountsIllegalMoves(t *testing.T) {
	dev := modeltest.Device(t)
	tok, err := tokens()
	require.NoError(t, err)
	m := modeltest.Random(t, dev, modeltest.Tiny(16, 16), graph.TargetOf(dev.Adapter()))
	p, err := newPlayer(m, tok, atOnce)
	require.NoError(t, err)
	defer p.Release()
	games := 0
	r, err := p.contest(context.Background(), task.Match{Games: 100, Opponent: "random"}, func(moves string, side byte, end string) {
		games++
		var b Board
		for _, c := range moves {
			require.NoError(t, b.Play(int(c-'0')), "a game has legal moves alone")
		}
		require.Equal(t, end == "illegal move", !b.Over())
	})
	require.NoError(t, err)
	require.Equal(t, 100, games)
	require.Equal(t, r.games, r.wins+r.draws+r.losses)
	require.Positive(t, r.illegal)
	require.Less(t, r.illegal, r.moves+1)
	require.LessOrEqual(t, r.illegal, r.losses)

	scores := map[string]runs.Score{}
	for _, s := range r.scores() {
		scores[s.Name] = s
	}
	require.Equal(t, float64(r.wins)/100, scores["games won"].Value)
	require.Equal(t, float64(r.losses)/100, scores["games lost"].Value)
	require.Equal(t, runs.Lower, scores["games lost"].Better)
	require.Equal(t, r.moves, scores["legal moves"].Count)
	require.InDelta(t, 1-float64(r.illegal)/float64(r.moves), scores["legal moves"].Value, 1e-9)

	_, err = p.contest(context.Background(), task.Match{Games: 1, Opponent: "god"}, nil)
	require.ErrorContains(t, err, "random or perfect")
}

// A model of another task is refused, even if its tokens could spell a game.
func TestAnotherTaskIsRefused(t *testing.T) {
	dev := modeltest.Device(t)
	m := modeltest.Random(t, dev, modeltest.Tiny(32, 16), graph.TargetOf(dev.Adapter()))
	for _, characters := range []string{"abc", "0123456789+-*/= "} {
		tok, err := tokenizer.Characters(characters)
		require.NoError(t, err)
		other := &infer.Model{Model: m, Tokenizer: tok}
		_, err = Kind.Game.Contest(context.Background(), other, task.Match{Games: 1, Opponent: "random"}, nil)
		require.ErrorContains(t, err, "--exp tictactoe")
		err = Kind.Game.Play(context.Background(), other, task.Match{Opponent: "random", Side: "X"}, nil, nil)
		require.ErrorContains(t, err, "--exp tictactoe")
	}
}

// A person leaves a game by q or by the end of what is typed.
func TestPlayIsLeft(t *testing.T) {
	m := shipped(t)
	for _, typed := range []string{"q\n", "5\nQ\n", "x\n11\n", ""} {
		var out strings.Builder
		require.NoError(t, play(context.Background(), m, task.Match{Opponent: task.Person, Side: "X"}, strings.NewReader(typed), &out))
		require.Contains(t, out.String(), "left the game", typed)
	}
}

// The shipped model continues games as text, too.
func TestShippedModelWrites(t *testing.T) {
	m := shipped(t)
	s, err := m.NewSession(0)
	require.NoError(t, err)
	defer s.Release()
	ids, err := m.Prompt("5")
	require.NoError(t, err)
	c, err := s.Complete(context.Background(), infer.Request{Tokens: ids, Sampling: infer.Sampling{TopP: 1, RepetitionPenalty: 1}}, nil)
	require.NoError(t, err)
	require.True(t, c.Ended)
	var b Board
	for _, move := range "5" + c.Text {
		require.NoError(t, b.Play(int(move-'0')))
	}
	require.True(t, b.Over())

	_, err = infer.Open(context.Background(), m.Device(), "", t.TempDir(), nil)
	require.Error(t, err)
	require.False(t, strings.Contains(err.Error(), "\n"))
}
