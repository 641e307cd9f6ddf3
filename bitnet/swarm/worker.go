package swarm

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"bitnet/bitnet/runs"
	"bitnet/bitnet/train"
)

// Worker is the side of a training run: it implements train.Peers.
type Worker struct {
	client *Client
	name   string        // that it asks for; "" is the machine's
	every  time.Duration // between two signs of life

	join  request   // as it was sent, to join again
	local int       // most local steps of the round
	total int64     // steps of the schedule
	rest  []float32 // of the changes so far, what int8 did not say
	start []float32 // weights at the beginning of the round

	mu      sync.Mutex
	round   int64
	steps   int
	speed   float64
	counted time.Time // when steps was counted last
	tokens  int64     // of a step
	closing bool      // the others are finishing the round
	stop    context.CancelFunc
	stopped chan struct{}
}

// beatTime is how often a worker gives a sign of life.
const beatTime = 500 * time.Millisecond

// NewWorker makes the worker of one training run. name is what others see; "" is
// the name of the machine.
func (c *Client) NewWorker(name string) (*Worker, error) {
	if !plain(name, maxName) {
		return nil, fmt.Errorf("the name %q of the worker: use plain text of at most %d bytes", name, maxName)
	}
	return &Worker{client: c, name: name, every: beatTime}, nil
}

// Join takes part in the swarm, or founds it.
func (w *Worker) Join(ctx context.Context, j *train.Joining) (*train.Round, error) {
	key, err := keepKey(j.Run.SwarmKeyPath())
	if err != nil {
		return nil, err
	}
	w.client.mu.Lock()
	w.client.key = key
	w.client.mu.Unlock()
	name := w.name
	if name == "" {
		name, _ = os.Hostname()
	}
	if !plain(name, maxName) || name == "" {
		name = "worker"
	}
	card := j.Card
	if !plain(card, maxCard) {
		card = "unknown"
	}
	w.join = request{
		Name: name, Card: card, Agreement: j.Agreement, Parameters: int64(len(j.Weights)), StepTokens: j.StepTokens, StepSamples: j.StepSamples, TotalSteps: j.Steps,
	}
	w.total, w.tokens = j.Steps, j.StepTokens
	if err := w.enter(ctx, j); err != nil {
		return nil, err
	}
	r, _, err := w.take(ctx)
	if err != nil {
		return nil, err
	}
	w.beatInBackground()
	s := r.Swarm
	w.client.note(fmt.Sprintf("joined the swarm %s as %s: round %d, step %d of %d, %d workers", s.Name, s.Me, r.Number, r.Step, s.Steps, here(s)))
	return r, nil
}

// enter joins, and founds the swarm if it is asked to.
func (w *Worker) enter(ctx context.Context, j *train.Joining) error {
	told := ""
	for {
		a, _, err := w.client.ask(ctx, opJoin, w.join, nil)
		switch {
		case has(err, codeAgain):
			continue
		case err != nil:
			return err
		case a.Found && j == nil:
			return fmt.Errorf("the meeting point has lost the swarm: start a new run, with --init to continue from the weights of this one")
		case a.Found:
			if err := w.found(ctx, j); err != nil && !has(err, codeUnknown) {
				return err
			}
			continue
		case a.Wait != "":
			if told != a.Wait {
				told = a.Wait
				w.client.note("waiting: " + a.Wait)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(retryTime):
			}
			continue
		}
		w.client.mu.Lock()
		w.client.swam = a.Swarm
		w.client.mu.Unlock()
		return nil
	}
}

// found sends plan and weights to an empty swarm.
func (w *Worker) found(ctx context.Context, j *train.Joining) error {
	plan, err := (&Plan{Config: j.Config, Tokenizer: j.Tokenizer}).encode()
	if err != nil {
		return err
	}
	q := w.join
	q.Kind, q.Step = kindFounding, j.Step
	return w.client.upload(ctx, q, encodeFounding(plan, j.Weights))
}

// Due reports whether the round ends after so many local steps: all are done, or
// another worker has done all of its own.
func (w *Worker) Due(steps int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if steps > w.steps && !w.counted.IsZero() {
		speed := float64(steps-w.steps) * float64(w.tokens) / now.Sub(w.counted).Seconds()
		if w.speed += (speed - w.speed) / 8; steps < 8 {
			w.speed = speed
		}
	}
	w.steps, w.counted = steps, now
	return steps >= w.local || w.closing
}

// Exchange sends the change of the weights, waits until the round is over, and takes
// the weights of the next.
func (w *Worker) Exchange(ctx context.Context, l train.Local) (*train.Round, error) {
	began := time.Now()
	change, rest, err := w.encode(l.Weights)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	round, steps := w.round, min(l.Steps, w.local)
	w.mu.Unlock()
	q := request{Kind: kindChange, Round: round, Steps: steps, Loss: l.Loss}
	if err := w.deliver(ctx, q, change); err != nil {
		return nil, err
	}
	before := w.round
	r, counted, err := w.take(ctx)
	if err != nil {
		return nil, err
	}
	if counted {
		w.rest = rest
	}
	w.tell(r, before, steps, counted, time.Since(began))
	return r, nil
}

// tell reports a round to the user.
func (w *Worker) tell(r *train.Round, round int64, steps int, counted bool, took time.Duration) {
	line := fmt.Sprintf("round %d of the swarm: step %d of %d", round, r.Step, w.total)
	if n := len(r.Swarm.Rounds); n > 0 && r.Swarm.Rounds[n-1].Round == round {
		x := r.Swarm.Rounds[n-1]
		line += fmt.Sprintf(", %d workers, %d local steps", x.Workers, x.Steps)
	}
	if counted {
		line += fmt.Sprintf(", %d of them here", steps)
	} else {
		line += "; it ended without this worker"
		for _, x := range r.Swarm.Workers {
			if x.Name == r.Swarm.Me && x.Reason != "" {
				line += " (" + x.Reason + ")"
			}
		}
	}
	w.client.note(fmt.Sprintf("%s, %.1f s to exchange", line, took.Seconds()))
}

// encode gives what changed since the beginning of the round in int8, and what that
// does not say.
func (w *Worker) encode(weights []float32) (change []byte, rest []float32, err error) {
	if len(weights) != len(w.start) {
		return nil, nil, fmt.Errorf("the model has %d parameters, and the round began with %d", len(weights), len(w.start))
	}
	if w.rest == nil {
		w.rest = make([]float32, len(weights))
	}
	rest = append([]float32(nil), w.rest...)
	d := make([]float32, len(weights))
	for i := range d {
		d[i] = w.start[i] - weights[i]
	}
	change = make([]byte, blocksLen(len(d)))
	return change, rest, encodeBlocks(change, d, rest)
}

// deliver sends a change until the meeting point has it, or the round is over.
func (w *Worker) deliver(ctx context.Context, q request, change []byte) error {
	for {
		err := w.client.upload(ctx, q, change)
		switch {
		case has(err, codeUnknown):
			if err := w.enter(ctx, nil); err != nil {
				return err
			}
			continue
		case err != nil && !has(err, codeOver):
			return err
		case err != nil:
			return nil // the round ended without this worker
		}
		again, err := w.await(ctx)
		if err != nil || !again {
			return err
		}
	}
}

// await waits until the round is over. again means that the meeting point was
// restarted and has lost the change.
func (w *Worker) await(ctx context.Context) (again bool, err error) {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, retryTime) {
		a, err := w.beat(ctx)
		if err != nil {
			return false, err
		}
		if a.Round != w.round {
			return false, nil
		}
		if !a.Held {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// take takes the weights and the settings of the round that the swarm is in, and
// says whether this worker's change is in them.
func (w *Worker) take(ctx context.Context) (r *train.Round, counted bool, err error) {
	for {
		a, _, err := w.client.ask(ctx, opRound, request{}, nil)
		switch {
		case has(err, codeUnknown):
			if err := w.enter(ctx, nil); err != nil {
				return nil, false, err
			}
			continue
		case has(err, codeAgain):
			continue
		case err != nil:
			return nil, false, err
		}
		if a.Total != w.total {
			return nil, false, fmt.Errorf("the swarm has %d steps, and this run %d", a.Total, w.total)
		}
		switch err := w.fetch(ctx, a); {
		case has(err, codeOver):
			continue // it ended meanwhile
		case err != nil:
			return nil, false, err
		}
		s, err := w.client.Status(ctx)
		if err != nil {
			s = &runs.Swarm{Name: w.client.address.Name, ID: a.Swarm, Phase: runs.SwarmTraining, Round: a.Round, Step: a.Step, Steps: a.Total, Tokens: a.Tokens, At: now()}
		}
		s.Me = a.Name
		w.mu.Lock()
		w.round, w.local, w.steps, w.closing, w.counted = a.Round, a.Local, 0, false, time.Now()
		w.mu.Unlock()
		r := &train.Round{Number: a.Round, Step: a.Step, Steps: a.Local, Tokens: a.Tokens, Weights: w.start, Swarm: s}
		for _, p := range a.Parts {
			r.Parts = append(r.Parts, [2]int64{p.First, p.End})
		}
		return r, a.Counted, nil
	}
}

// fetch brings the weights to those of a round: by the last change if that is
// enough, and else as a whole.
func (w *Worker) fetch(ctx context.Context, a *answer) error {
	n := int(w.join.Parameters)
	if w.start != nil && a.Changed && a.Round == w.round+1 {
		change, _, err := w.client.download(ctx, kindChange, a.Round, int64(blocksLen(n)))
		if err != nil {
			return err
		}
		if _, err := checkBlocks(change, n); err != nil {
			return err
		}
		addBlocks(w.start, change, -1)
	}
	if w.start != nil && hashFloats(w.start) == a.SHA256 {
		return nil
	}
	text, _, err := w.client.download(ctx, kindWeights, a.Round, 4*int64(n))
	if err != nil {
		return err
	}
	if len(text) != 4*n {
		return fmt.Errorf("the meeting point gives %d bytes of weights for %d parameters", len(text), n)
	}
	w.start = make([]float32, n)
	if err := readFloats(w.start, text); err != nil {
		return err
	}
	if hashFloats(w.start) != a.SHA256 {
		return fmt.Errorf("the weights of the swarm were damaged on their way")
	}
	return nil
}

// beat gives a sign of life, and learns whether the round is ending.
func (w *Worker) beat(ctx context.Context) (*answer, error) {
	for {
		w.mu.Lock()
		q := request{Round: w.round, Steps: w.steps, Speed: w.speed}
		w.mu.Unlock()
		a, _, err := w.client.ask(ctx, opBeat, q, nil)
		switch {
		case has(err, codeUnknown):
			if err := w.enter(ctx, nil); err != nil {
				return nil, err
			}
			continue
		case has(err, codeAgain):
			continue
		case err != nil:
			return nil, err
		}
		w.mu.Lock()
		if q.Round == w.round { // a late answer says nothing about the next round
			w.closing = a.Closing || a.Round != w.round
		}
		w.mu.Unlock()
		return a, nil
	}
}

// beatInBackground gives signs of life until Leave. What keeps it from doing so
// shows in the next exchange.
func (w *Worker) beatInBackground() {
	if w.stop != nil {
		return
	}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(context.Background())
	w.stopped = make(chan struct{})
	go func() {
		defer close(w.stopped)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(w.every):
			}
			_, _ = w.beat(ctx)
		}
	}()
}

// Leave tells the meeting point that nobody has to wait for this worker any more.
func (w *Worker) Leave() {
	if w.stop == nil {
		return
	}
	w.stop()
	<-w.stopped
	w.stop = nil
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, _, _ = w.client.once(ctx, opLeave, &request{}, nil) // without it, the meeting point notices by itself
}

// here counts the workers that are there.
func here(s *runs.Swarm) int {
	n := 0
	for _, x := range s.Workers {
		if x.Here {
			n++
		}
	}
	return n
}
