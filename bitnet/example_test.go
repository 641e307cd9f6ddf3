package bitnet_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"testing"

	"bitnet/bitnet"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/train"
	"bitnet/gpu"
)

// Examples cannot skip, so that without an adapter none of them is run.
func TestMain(m *testing.M) {
	dev, err := gpu.Open("")
	if err != nil && os.Getenv("CI") == "" {
		fmt.Println("skipped:", err)
		os.Exit(0)
	}
	if err == nil {
		dev.Close()
	}
	os.Exit(m.Run())
}

// A tiny model learns sums for a few steps.
func ExampleTrain() {
	dir, err := os.MkdirTemp("", "runs-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	config, err := bitnet.Preset("simple")
	if err != nil {
		log.Fatal(err)
	}
	config.Train.Steps = 20
	config.LimitWarmup()
	var first, last float64
	_, err = bitnet.Train(context.Background(), config, bitnet.TrainOptions{
		Start: train.Start{RunsDir: dir, RunID: "sums"},
		Events: train.Events{Metrics: func(m runs.Metrics) {
			if last = m.Get(runs.Loss); first == 0 {
				first = last
			}
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("first loss %.1f, falling: %v\n", first, last < first)
	// Output: first loss 3.5, falling: true
}

// A model that comes with the source plays the rest of a game that begins in the middle.
func ExampleModel_Generate() {
	ctx := context.Background()
	model, err := bitnet.Open(ctx, "../testdata/tictactoe", bitnet.OpenOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	moves, err := model.Generate(ctx, "51", bitnet.GenerateOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len("51" + moves))
	// Output: 9
}

// A model is measured on games that it did not see.
func ExampleEvaluate() {
	o := bitnet.EvalOptions{}
	o.Data, o.Rows = "tictactoe", 64
	e, err := bitnet.Evaluate(context.Background(), "../testdata/tictactoe", o)
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range e.Scores {
		if s.Name == "games lost" {
			fmt.Println(s.Name, s)
		}
	}
	// Output: games lost 0.0% of 64 games
}

// Opening a model tells what it is.
func ExampleOpen() {
	model, err := bitnet.Open(context.Background(), "../testdata/tictactoe", bitnet.OpenOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	fmt.Println(model.Config.Layers, "layers,", model.Tokenizer.Size(), "tokens")
	// Output: 3 layers, 13 tokens
}
