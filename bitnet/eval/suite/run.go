package suite

import (
	"context"
	"fmt"
	"time"

	"bitnet/bitnet/infer"
	"bitnet/data/meter"
)

// Options say how tasks are run. The zero value measures all of each, with data
// from the hub.
type Options struct {
	Dir      string             // a folder with the data; "" for the hub
	Limit    int                // questions of each task; 0 for all
	Note     func(string)       // gets a line for what is downloaded
	Progress func(Progress)     // is called often
	Each     func(Sample) error // gets every question with its answers, in order
}

// Progress is the state of a run.
type Progress struct {
	Task  string
	Fetch bool          // its data is being downloaded
	Work  meter.Reading // in bytes of a download, or in tokens of all tasks
}

// Sample is a question with what the model said.
type Sample struct {
	Task     string `json:"task"`
	Document int    `json:"doc_id"`
	question
	Answers []answer           `json:"answers"`
	Metrics map[string]float64 `json:"metrics"`
}

// prepared is a task whose questions are tokens.
type prepared struct {
	task      Task
	total     int // questions of its data
	questions []question
	requests  []request
	tokens    int64
}

// Run measures a model on tasks. All data is read before the first is computed.
func Run(ctx context.Context, m *infer.Model, tasks []Task, o Options) (*Results, error) {
	if o.Note == nil {
		o.Note = func(string) {}
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	begun := time.Now()
	r := &Results{Model: m.Dir, Parameters: m.Params.Total(), Device: m.Device().Adapter().Name, Context: m.Config.MaxPositions, Limit: o.Limit, Begun: begun}
	var all []*prepared
	total := int64(0)
	for _, t := range tasks {
		p, err := prepare(ctx, m, t, o)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
		total += p.tokens
	}
	work := meter.New(total)
	for _, p := range all {
		found, err := p.run(ctx, m, o, work)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.task.Name, err)
		}
		r.Tasks = append(r.Tasks, found)
	}
	r.Took = time.Since(begun)
	return r, nil
}

// prepare reads the questions of a task and makes tokens of them.
func prepare(ctx context.Context, m *infer.Model, t Task, o Options) (*prepared, error) {
	from := source{dir: o.Dir, note: o.Note, fetching: func(name string, r meter.Reading) {
		o.Progress(Progress{Task: name, Fetch: true, Work: r})
	}}
	p := &prepared{task: t}
	var err error
	if p.questions, p.total, err = from.questions(ctx, t, o.Limit); err != nil {
		return nil, err
	}
	e := encoder{tok: m.Tokenizer, most: m.Config.MaxPositions}
	for i, q := range p.questions {
		list, err := e.requests(q)
		if err != nil {
			return nil, fmt.Errorf("%s, question %d: %w", t.Name, i+1, err)
		}
		for _, r := range list {
			p.tokens += int64(len(r.inputs(e.most)))
		}
		p.requests = append(p.requests, list...)
	}
	return p, ctx.Err()
}

// run measures the questions of a task.
func (p *prepared) run(ctx context.Context, m *infer.Model, o Options, work *meter.Meter) (TaskResult, error) {
	measure := likelihoods
	if p.task.greedy {
		measure = greedyLikelihoods
	}
	answers, err := measure(ctx, m.Model, p.requests, m.Config.MaxPositions, func(tokens int) {
		work.Add(int64(tokens))
		o.Progress(Progress{Task: p.task.Name, Work: work.Read()})
	})
	if err != nil {
		return TaskResult{}, err
	}
	var outcomes [][]float64
	for i, q := range p.questions {
		mine := answers[:len(q.Continuations)]
		answers = answers[len(mine):]
		outcomes = append(outcomes, p.task.outcome(q, mine))
		if o.Each == nil {
			continue
		}
		s := Sample{Task: p.task.Name, Document: i, question: q, Answers: mine, Metrics: map[string]float64{}}
		for k, name := range p.task.metrics() {
			s.Metrics[name] = outcomes[i][k]
		}
		if err := o.Each(s); err != nil {
			return TaskResult{}, err
		}
	}
	return TaskResult{Task: p.task, Metrics: p.task.summary(outcomes), Questions: len(p.questions), Total: p.total}, nil
}
