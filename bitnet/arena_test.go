package bitnet

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/data"
	"bitnet/data/tokenizer"
	"bitnet/gpu"
	"bitnet/graph"
)

// shipped opens the model of testdata that was trained on tic-tac-toe.
func shipped(t *testing.T) (*gpu.Device, *Opened) {
	t.Helper()
	dev := openDevice(t)
	m, err := Open(context.Background(), dev, filepath.Join("..", "testdata", "tictactoe"), func(s string) { t.Error(s) })
	require.NoError(t, err)
	t.Cleanup(m.Params.Release)
	return dev, m
}

// The model alone chooses: it must know the rules, and how not to lose.
func TestShippedModelNeverLoses(t *testing.T) {
	dev, m := shipped(t)
	for _, o := range []ArenaOptions{
		{Games: 1000, Against: "random", As: "X", Seed: 11},
		{Games: 1000, Against: "random", As: "O", Seed: 12},
		{Games: 200, Against: "perfect", Seed: 13},
	} {
		r, err := m.Arena(dev, m.Tokenizer, o, func(game string, model byte, result string) {
			if result != "won" && result != "draw" {
				t.Errorf("%s as %c: %s", game, model, result)
			}
		})
		require.NoError(t, err)
		require.Equal(t, o.Games, r.Games)
		require.Equal(t, o.Games, r.Wins+r.Draws)
		require.GreaterOrEqual(t, r.Moves, 2*o.Games)
		if o.Against == "random" {
			require.Greater(t, r.Wins, o.Games/2)
		}
	}
}

// What an arena counts is true of a model that knows nothing.
func TestArenaCountsIllegalMoves(t *testing.T) {
	dev := openDevice(t)
	tok, err := tokenizer.Characters("123456789")
	require.NoError(t, err)
	m := randomModel(t, dev, ModelConfig{VocabSize: 16, HiddenSize: 32, IntermediateSize: 48, Layers: 1, Heads: 2, KVHeads: 1,
		HiddenAct: "silu", MaxPositions: 16, NormEps: 1e-5, RopeTheta: 10000}, graph.TargetOf(dev.Adapter()))
	games := 0
	r, err := m.Arena(dev, tok, ArenaOptions{Games: 100, Against: "random"}, func(game string, model byte, result string) {
		games++
		var b data.Board
		for _, c := range game {
			require.NoError(t, b.Play(int(c-'0')), "a game has legal moves alone")
		}
		require.Equal(t, result == "illegal move", !b.Over())
	})
	require.NoError(t, err)
	require.Equal(t, 100, games)
	require.Equal(t, r.Games, r.Wins+r.Draws+r.Losses)
	require.Positive(t, r.Illegal)
	require.Less(t, r.LegalRate(), 1.0)
	require.LessOrEqual(t, r.Illegal, r.Losses)

	_, err = m.Arena(dev, tok, ArenaOptions{Games: 1, Against: "god"}, nil)
	require.ErrorContains(t, err, "random or perfect")
	words, err := tokenizer.Characters("abc")
	require.NoError(t, err)
	_, err = m.NewPlayer(dev, words, 1)
	require.ErrorContains(t, err, "--exp tictactoe")
}

// The shipped model continues games as text, too.
func TestOpenedModelWrites(t *testing.T) {
	dev, m := shipped(t)
	s, err := m.NewSession(dev, 0)
	require.NoError(t, err)
	defer s.Release()
	ids, err := m.Prompt("5")
	require.NoError(t, err)
	c, err := s.Complete(context.Background(), Request{Tokens: ids, Sampling: Sampling{TopP: 1, RepetitionPenalty: 1}}, nil)
	require.NoError(t, err)
	require.True(t, c.Ended)
	var b data.Board
	for _, move := range "5" + c.Text {
		require.NoError(t, b.Play(int(move-'0')))
	}
	require.True(t, b.Over())

	_, err = Open(context.Background(), dev, t.TempDir(), nil)
	require.Error(t, err)
	require.False(t, strings.Contains(err.Error(), "\n"))
}
