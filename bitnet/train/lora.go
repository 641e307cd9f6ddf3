package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"bitnet/bitnet/model"
	"bitnet/bitnet/modelfile"
	"bitnet/data/tokenizer"
	"bitnet/graph"
)

// base is the model that adapters are trained on.
type base struct {
	dir  string
	name string // as checkpoints say it
	hash string // modelfile.Weights.Hash
}

// lora is what train.lora says; nil where the model itself is trained.
func (t *Optimisation) lora() *modelfile.LoRA {
	if t.LoRA == "" {
		return nil
	}
	l, err := modelfile.ParseLoRA(t.LoRA)
	if err != nil {
		panic(err) // it was checked
	}
	return &l
}

func (t *Optimisation) checkLoRA() error {
	if t.LoRA == "" {
		return nil
	}
	if _, err := modelfile.ParseLoRA(t.LoRA); err != nil {
		return fmt.Errorf("train.lora is %w", err)
	}
	if t.Optimizer != AdamW {
		return fmt.Errorf("train.optimizer %s is for ternary projections, which train.lora does not change: use %s", t.Optimizer, AdamW)
	}
	return nil
}

// checkAdapterStart checks where a run of adapters begins.
func checkAdapterStart(c *Config, s Start) error {
	switch {
	case c.Train.LoRA == "":
		return nil
	case s.Init == "" && s.Resume == "" && s.Group.Rank() == 0:
		return &ConfigError{errors.New("train.lora trains adapters on a model: name it with --init MODEL")}
	case s.Group.Size() > 1:
		return &ConfigError{errors.New("adapters are trained by one process: start it without mpirun, or train the model without --lora")}
	case s.Peers != nil:
		return &ConfigError{errors.New("a swarm trains whole models: leave out --lora, or --swarm")}
	}
	return nil
}

// findBase finds the folder of the model that adapters are trained on.
func (j *Job) findBase(ctx context.Context) error {
	if j.run != nil {
		if err := sameAdapters(j.from, j.config.Train.lora()); err != nil {
			return err
		}
	}
	if j.start.Init != "" {
		j.base = j.start.Init
	} else {
		source, err := modelfile.ResolveSource(ctx, j.start.RunsDir, j.from, "", j.events.note)
		if err != nil {
			return err
		}
		j.base = source.Dir
	}
	if modelfile.IsAdapter(j.base) {
		return fmt.Errorf("%s is an adapter: resume its run with --resume, or name a model with --init", j.base)
	}
	return nil
}

// sameAdapters checks that a checkpoint holds such adapters.
func sameAdapters(checkpoint string, l *modelfile.LoRA) error {
	before, err := LoadConfig(filepath.Join(checkpoint, configName))
	if err != nil {
		return err
	}
	if err := before.Check(); err != nil {
		return err
	}
	switch was := before.Train.lora(); {
	case was == nil:
		return fmt.Errorf("%s holds a model and no adapters: start a new run with --init %s", checkpoint, checkpoint)
	case was.String() != l.String():
		return fmt.Errorf("%s holds adapters with %s, not with %s: resume it without --lora, or start a new run", checkpoint, was, l)
	}
	return nil
}

// keepsVocabulary refuses tokens that a frozen embedding does not know.
func (j *Job) keepsVocabulary(tok *tokenizer.Tokenizer) error {
	if j.base == "" || tok == nil || j.own == nil || tok.Size() <= j.own.Size() {
		return nil
	}
	return &ConfigError{fmt.Errorf("%s has no chat template, and --lora leaves the embedding as it is, so that the tokens of one cannot be learned: "+
		"train it on conversations without --lora first", j.base)}
}

// setAdapters writes the frozen model, and fresh adapters or those of a checkpoint.
func (t *Trainer) setAdapters(j *Job) error {
	w, err := modelfile.ReadWeights(j.base)
	if err != nil {
		return err
	}
	abs, err := filepath.Abs(j.base)
	if err != nil {
		return err
	}
	t.base = base{dir: j.base, name: modelfile.HubName(abs), hash: w.Hash()}
	if j.resumed {
		hash, err := modelfile.AdapterBaseHash(j.from)
		if err == nil {
			err = w.CheckBase(j.base, hash, j.from)
		}
		if err != nil {
			return err
		}
	}
	if err := t.model.LoadWeights(w); err != nil {
		return err
	}
	if j.resumed {
		return t.restore(j.from, t.state)
	}
	return t.model.InitializeAdapters(t.Config.Train.Seed)
}

// loadTrained reads the weights that are trained from a checkpoint.
func (t *Trainer) loadTrained(dir string) error {
	if t.model.Adapted() {
		return t.model.LoadForm(filepath.Join(dir, modelfile.AdapterWeightsName), model.Form{Slot: graph.Master})
	}
	return t.model.LoadMasters(dir)
}

// writeAdapter writes the adapters in the form of PEFT.
func (t *Trainer) writeAdapter(dir string) error {
	path := filepath.Join(dir, modelfile.AdapterWeightsName)
	if err := t.model.SaveWith(path, modelfile.AdapterMetadata(t.base.hash), model.Form{Slot: graph.Master}); err != nil {
		return err
	}
	return modelfile.WriteAdapterConfig(dir, *t.Config.Train.lora(), t.base.name)
}
