package train

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
)

// growth says how many times as many micro-batches as train.grad_accum says a step
// has, from a step on: the stages of train.batch_growth.
type growth []growthStage

type growthStage struct {
	factor int
	from   int64 // the first step, from 0
}

// mostGrowth bounds the factor of a stage.
const mostGrowth = 1 << 12

// parseGrowth reads train.batch_growth, such as 2@0.25,4@0.5: from a quarter of the
// steps on two times the micro-batches, from half of them on four times.
func parseGrowth(text string, steps int) (growth, error) {
	if text == "" {
		return nil, nil
	}
	fail := func(why string) (growth, error) {
		return nil, fmt.Errorf("train.batch_growth is %q: %s; write for example 2@0.25,4@0.5: from a quarter of the steps on 2 x grad_accum micro-batches, from half of them on 4 x", text, why)
	}
	var out growth
	factor, share := 1, 0.
	for _, part := range strings.Split(text, ",") {
		left, right, ok := strings.Cut(strings.TrimSpace(part), "@")
		f, err1 := strconv.Atoi(left)
		s, err2 := strconv.ParseFloat(right, 64)
		switch {
		case !ok || errors.Join(err1, err2) != nil:
			return fail(fmt.Sprintf("%q is not FACTOR@SHARE", part))
		case f <= factor || f > mostGrowth:
			return fail(fmt.Sprintf("the factor %d must be above %d, and at most %d", f, factor, mostGrowth))
		case !(s > share && s < 1):
			return fail(fmt.Sprintf("the share %g must be above %g and below 1", s, share))
		}
		factor, share = f, s
		out = append(out, growthStage{f, int64(math.Ceil(s * float64(steps)))})
	}
	return out, nil
}

// growth is that of the configuration, which was checked.
func (t *Optimisation) growth() growth {
	g, err := parseGrowth(t.BatchGrowth, t.Steps)
	if err != nil {
		return nil // check says it
	}
	return g
}

// at is the factor of a step, from 0.
func (g growth) at(step int64) int {
	factor := 1
	for _, s := range g {
		if step >= s.from {
			factor = s.factor
		}
	}
	return factor
}

// most is the largest factor.
func (g growth) most() int {
	if len(g) == 0 {
		return 1
	}
	return g[len(g)-1].factor
}

// until adds up the factors of the first so many steps.
func (g growth) until(steps int64) int64 {
	sum, factor, from := int64(0), int64(1), int64(0)
	for _, s := range g {
		to := min(s.from, steps)
		sum += factor * max(to-from, 0)
		from, factor = max(to, from), int64(s.factor)
	}
	return sum + factor*max(steps-from, 0)
}

// TokensBetween is how many tokens the steps from first up to, but not including,
// end read, counted from 0.
func (c *Config) TokensBetween(first, end int64) int64 {
	g := c.Train.growth()
	return c.TokensPerStep() * (g.until(end) - g.until(first))
}

// stepsFor is the fewest steps that read so many rows.
func (c *Config) stepsFor(rows int64) int64 {
	per := int64(c.Train.BatchSize) * int64(c.Train.GradAccum)
	most := (rows + per - 1) / per
	if c.Train.BatchGrowth == "" || most > math.MaxInt32 {
		return most
	}
	return int64(sort.Search(int(most), func(n int) bool {
		g, err := parseGrowth(c.Train.BatchGrowth, n)
		return err == nil && per*g.until(int64(n)) >= rows
	}))
}
