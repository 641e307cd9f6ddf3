package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"bitnet/bitnet/model"
	"bitnet/bitnet/modelfile"
	"bitnet/data/printable"
	"bitnet/data/tokenizer"
)

// Values of train.teacher_weight and train.teacher_temperature where they are not given.
const (
	teacherWeight      = 0.5
	teacherTemperature = 1.0
)

// foundTeacher is the model that train.teacher names.
type foundTeacher struct {
	dir    string
	config modelfile.Config
	float  bool // it is of the Llama form
}

func (t *Optimisation) checkTeacher() error {
	w, temperature := t.TeacherWeight, t.TeacherTemperature
	switch {
	case t.Teacher == "" && (w != nil || temperature != nil):
		return errors.New("train.teacher_weight and train.teacher_temperature are for train.teacher: name a model with --teacher, or set them to null")
	case w != nil && !(*w > 0 && *w <= 1):
		return fmt.Errorf("train.teacher_weight %g must lie above 0 and be at most 1: it is the share of the divergence from the teacher, and the loss of the data has the rest", *w)
	case temperature != nil && !(*temperature >= 0.1 && *temperature <= 100):
		return fmt.Errorf("train.teacher_temperature %g must lie between 0.1 and 100", *temperature)
	}
	return nil
}

// checkTeacherStart refuses a teacher where there are others that train the same model.
func checkTeacherStart(c *Config, s Start) error {
	switch {
	case c.Train.Teacher == "":
		return nil
	case s.Group.Size() > 1:
		return &ConfigError{errors.New("a teacher is for one process: start it without mpirun, or leave out --teacher")}
	case s.Peers != nil:
		return &ConfigError{errors.New("a swarm trains without a teacher: leave out --teacher, or --swarm")}
	}
	return nil
}

// FindTeacher finds the model that train.teacher names, as modelfile.Resolve does, and
// reads its architecture. It changes train.teacher to what leads to it from any folder.
func (c *Config) FindTeacher(ctx context.Context, runsDir string, note func(string)) error {
	if c.Train.Teacher == "" || c.teacher != nil {
		return nil
	}
	if note == nil {
		note = func(string) {}
	}
	dir, err := modelfile.Resolve(ctx, runsDir, c.Train.Teacher, note)
	if err != nil {
		return fmt.Errorf("train.teacher: %w", err)
	}
	found := &foundTeacher{dir: dir, float: modelfile.IsLlama(dir)}
	if found.float {
		found.config, err = modelfile.ReadTrainable(dir)
	} else {
		found.config, err = modelfile.ReadFrozen(dir)
	}
	if err != nil {
		return fmt.Errorf("train.teacher: %w", err)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	c.teacher, c.Train.Teacher = found, modelfile.HubName(abs)
	return nil
}

// taught is the teacher of a step; nil without one.
func (c *Config) taught() (*model.Teacher, error) {
	if c.Train.Teacher == "" {
		return nil, nil
	}
	if err := c.FindTeacher(context.Background(), "", nil); err != nil { // unless it was found before
		return nil, err
	}
	t := &model.Teacher{Config: c.teacher.config, Float: c.teacher.float, Weight: teacherWeight, Temperature: teacherTemperature}
	if w := c.Train.TeacherWeight; w != nil {
		t.Weight = *w
	}
	if w := c.Train.TeacherTemperature; w != nil {
		t.Temperature = *w
	}
	return t, c.checkTaught()
}

// checkTaught compares the shapes of model and teacher.
func (c *Config) checkTaught() error {
	t := c.teacher
	switch {
	case t.config.VocabSize != c.Model.VocabSize:
		return &ConfigError{fmt.Errorf("the teacher %s has a vocabulary of %d, the model one of %d: they must be the same; for a new model give --tokenizer and --set vocab_size of the teacher",
			printable.String(t.dir), t.config.VocabSize, c.Model.VocabSize)}
	case t.config.MaxPositions < c.Train.SeqLen:
		return &ConfigError{fmt.Errorf("the teacher %s knows %d positions, a row has %d: give --seq-len %d",
			printable.String(t.dir), t.config.MaxPositions, c.Train.SeqLen, t.config.MaxPositions)}
	}
	return nil
}

// checkTeacher refuses a teacher that reads other tokens than the model.
func (j *Job) checkTeacher() error {
	c := &j.config
	if c.teacher == nil {
		return nil
	}
	if err := c.checkTaught(); err != nil {
		return err
	}
	tok := j.task.Tokenizer()
	if _, err := os.Stat(filepath.Join(c.teacher.dir, "tokenizer.json")); err != nil || tok == nil {
		return nil // one of the two knows numbers only
	}
	own, err := tokenizer.Load(c.teacher.dir)
	if err != nil {
		return fmt.Errorf("train.teacher: %w", err)
	}
	if !tok.Extends(own) || !own.Extends(tok) {
		return &ConfigError{fmt.Errorf("the teacher %s has a different tokenizer (%d tokens) than the model (%d tokens): the same number would mean different text; use a teacher with the model's tokenizer",
			printable.String(c.teacher.dir), own.Size(), tok.Size())}
	}
	return nil
}

// loadTeacher writes the teacher's weights, which must be those of before in a run that
// is resumed.
func (t *Trainer) loadTeacher() error {
	if t.Config.teacher == nil {
		return nil
	}
	dir := t.Config.teacher.dir
	hash, err := t.model.LoadTeacher(dir)
	if err != nil {
		return fmt.Errorf("reading the teacher: %w", err)
	}
	if was := t.state.Teacher; was != "" && was != hash {
		return fmt.Errorf("%s is not the teacher that the run had before, or it has changed since: its weights have a different hash; name the one of before with --teacher", printable.String(dir))
	}
	t.state.Teacher = hash
	return nil
}
