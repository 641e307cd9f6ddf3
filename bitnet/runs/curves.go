package runs

import (
	"encoding/json"
	"math"
	"slices"
	"sort"
)

// Curves holds the numbers of any count of metrics lines in at most a given
// count of points. A point covers a power of two of steps and keeps the
// smallest, the largest and the mean value, and how many were not finite, so
// that a spike of one line is never lost. What it holds does not depend on how
// the lines were cut into pieces, apart from the rounding of means.
type Curves struct {
	limit  int
	shift  uint // a point covers 1<<shift steps
	points []point
	parts  []string       // the projections that have ternary shares
	index  map[string]int // of parts

	Lines int64 // that were read
	Bad   int64 // that could not be read
}

// point is what is known of the steps n<<shift+1 ... (n+1)<<shift.
type point struct {
	n        int64
	step     int64 // of its last line
	tokens   float64
	min, max [numKeys]float64
	sum      [numKeys]float64
	count    [numKeys]int32 // finite values
	bad      [numKeys]int32 // values that are not finite
	shares   [][3]float32   // by part, of the first line that has them
}

// beyond counts as infinite, so that sums and charts need not fear overflow.
const beyond = 1e100

// maxParts bounds what a damaged file can make of the ternary shares.
const maxParts = 1 << 14

// NewCurves makes room for limit points, at least 2.
func NewCurves(limit int) *Curves {
	return &Curves{limit: max(limit, 2), index: map[string]int{}}
}

// Width is how many steps a point covers.
func (c *Curves) Width() int64 { return 1 << c.shift }

// Points is how many points there are.
func (c *Curves) Points() int { return len(c.points) }

// Add takes in a metrics line.
func (c *Curves) Add(line []byte) {
	var v values
	c.add(line, &v)
}

// add is Add with the room for a line's values given; it leaves them there.
func (c *Curves) add(line []byte, v *values) bool {
	c.Lines++
	if !scan(line, v) || !(v.num[stepKey] >= 0 && v.num[stepKey] < 1<<53) {
		c.Bad++
		return false
	}
	step := int64(v.num[stepKey])
	p := c.at(step)
	if v.enough && p.shares == nil {
		// The line is the first of a point: it may have the ternary shares.
		v.enough = false
		scan(line, v)
	}
	if step >= p.step {
		p.step = step
		if v.has(TokensSeen) && math.Abs(v.num[TokensSeen]) < beyond {
			p.tokens = v.num[TokensSeen]
		}
	}
	for k := stepKey + 1; k < numKeys; k++ {
		if !v.has(k) {
			continue
		}
		x := v.num[k]
		if !(math.Abs(x) < beyond) {
			p.bad[k]++
			continue
		}
		if p.count[k] == 0 {
			p.min[k], p.max[k] = x, x
		} else if x < p.min[k] {
			p.min[k] = x
		} else if x > p.max[k] {
			p.max[k] = x
		}
		p.sum[k] += x
		p.count[k]++
	}
	if p.shares == nil && v.ternary != nil {
		c.ternary(v.ternary, p)
	}
	v.enough = v.want != 0 && p.shares != nil
	return true
}

// ternary takes in the shares of a line, given as JSON.
func (c *Curves) ternary(text []byte, p *point) {
	var shares map[string][3]float32
	if json.Unmarshal(text, &shares) != nil {
		return
	}
	for name := range shares {
		if _, ok := c.index[name]; !ok && len(c.parts) < maxParts {
			c.index[name] = len(c.parts)
			c.parts = append(c.parts, name)
		}
	}
	p.shares = make([][3]float32, len(c.parts))
	for i := range p.shares {
		p.shares[i] = absent
	}
	for name, s := range shares {
		if i, ok := c.index[name]; ok {
			p.shares[i] = s
		}
	}
}

var absent = [3]float32{float32(math.NaN()), float32(math.NaN()), float32(math.NaN())}

// slot is the number of the point of a step, which ends a stretch of 1<<shift
// steps: with a width of 10 logs every 10 steps fall into a point each.
func (c *Curves) slot(step int64) int64 { return (step - 1) >> c.shift }

// at is the point of a step; it makes it, and widens all points if there are
// too many.
func (c *Curves) at(step int64) *point {
	n := c.slot(step)
	if l := len(c.points); l > 0 && c.points[l-1].n == n {
		return &c.points[l-1]
	}
	i := sort.Search(len(c.points), func(i int) bool { return c.points[i].n >= n })
	if i < len(c.points) && c.points[i].n == n {
		return &c.points[i]
	}
	c.points = slices.Insert(c.points, i, point{n: n})
	if len(c.points) <= c.limit {
		return &c.points[i]
	}
	c.widen(c.shift + 1)
	return c.at(step)
}

// widen makes a point cover 1<<shift steps.
func (c *Curves) widen(shift uint) {
	by := shift - c.shift
	c.shift = shift
	kept := c.points[:0]
	for _, p := range c.points {
		p.n >>= by
		if l := len(kept); l > 0 && kept[l-1].n == p.n {
			kept[l-1].merge(&p)
		} else {
			kept = append(kept, p)
		}
	}
	clear(c.points[len(kept):])
	c.points = kept
}

// merge takes in another point of the same steps.
func (p *point) merge(q *point) {
	if p.shares == nil || q.shares != nil && q.step < p.step {
		p.shares = q.shares
	}
	if q.step >= p.step {
		p.step, p.tokens = q.step, q.tokens
	}
	for k := stepKey + 1; k < numKeys; k++ {
		switch {
		case q.count[k] == 0:
		case p.count[k] == 0:
			p.min[k], p.max[k] = q.min[k], q.max[k]
		default:
			p.min[k], p.max[k] = min(p.min[k], q.min[k]), max(p.max[k], q.max[k])
		}
		p.sum[k] += q.sum[k]
		p.count[k] += q.count[k]
		p.bad[k] += q.bad[k]
	}
}

// join takes in the curves of another part of the same file.
func (c *Curves) join(o *Curves) {
	c.Lines += o.Lines
	c.Bad += o.Bad
	shift := max(c.shift, o.shift)
	c.widen(shift)
	o.widen(shift)
	// The other's projections may be in another order.
	place := make([]int, len(o.parts))
	for i, name := range o.parts {
		if _, ok := c.index[name]; !ok {
			c.index[name] = len(c.parts)
			c.parts = append(c.parts, name)
		}
		place[i] = c.index[name]
	}
	for _, q := range o.points {
		if q.shares != nil {
			s := make([][3]float32, len(c.parts))
			for i := range s {
				s[i] = absent
			}
			for i, x := range q.shares {
				s[place[i]] = x
			}
			q.shares = s
		}
		i := sort.Search(len(c.points), func(i int) bool { return c.points[i].n >= q.n })
		if i < len(c.points) && c.points[i].n == q.n {
			c.points[i].merge(&q)
		} else {
			c.points = slices.Insert(c.points, i, q)
		}
	}
	for len(c.points) > c.limit {
		c.widen(c.shift + 1)
	}
}

// Axis is what a curve is drawn over.
type Axis string

const (
	BySteps  Axis = "step"
	ByTokens Axis = "tokens"
	ByTime   Axis = "time" // seconds of training, without evaluations and checkpoints
)

// X gives the place of every point on an axis: of the last line it covers.
func (c *Curves) X(axis Axis) []float64 {
	x := make([]float64, len(c.points))
	var seconds float64
	var before int64
	for i := range c.points {
		p := &c.points[i]
		switch axis {
		case ByTokens:
			x[i] = p.tokens
		case ByTime:
			if n := p.count[StepTimeMS]; n > 0 {
				seconds += float64(p.step-before) * p.sum[StepTimeMS] / float64(n) / 1000
			}
			before = p.step
			x[i] = seconds
		default:
			x[i] = float64(p.step)
		}
	}
	return x
}

// Series is one curve. All slices have a value for every point; Min, Max and
// Mean are NaN where a point has no finite value.
type Series struct {
	Min, Max, Mean []float64
	NotFinite      []int // how many NaN and infinities a point has
}

// Series gives the curve of a key.
func (c *Curves) Series(k Key) Series {
	n := len(c.points)
	s := Series{make([]float64, n), make([]float64, n), make([]float64, n), make([]int, n)}
	for i := range c.points {
		p := &c.points[i]
		s.NotFinite[i] = int(p.bad[k])
		if p.count[k] == 0 {
			s.Min[i], s.Max[i], s.Mean[i] = math.NaN(), math.NaN(), math.NaN()
			continue
		}
		s.Min[i], s.Max[i], s.Mean[i] = p.min[k], p.max[k], p.sum[k]/float64(p.count[k])
	}
	return s
}

// Projections are the names of the weights that have ternary shares, in the
// order of layers.
func (c *Curves) Projections() []string {
	names := slices.Clone(c.parts)
	slices.SortFunc(names, naturally)
	return names
}

// Ternary gives the shares of -1, 0 and +1 of a projection at every point: of
// one line each, NaN where there is none.
func (c *Curves) Ternary(projection string) [3][]float64 {
	var out [3][]float64
	i, ok := c.index[projection]
	for j := range out {
		out[j] = make([]float64, len(c.points))
		for n := range c.points {
			out[j][n] = math.NaN()
			if s := c.points[n].shares; ok && i < len(s) {
				out[j][n] = float64(s[i][j])
			}
		}
	}
	return out
}

// naturally compares names with numbers in them by value: layer 2 before 10.
func naturally(a, b string) int {
	for a != "" && b != "" {
		x, y := leading(a), leading(b)
		if x > 0 && y > 0 {
			if x != y {
				return x - y
			}
		}
		n := max(min(x, y), 1)
		if a[:n] != b[:n] {
			if a[:n] < b[:n] {
				return -1
			}
			return 1
		}
		a, b = a[n:], b[n:]
	}
	return len(a) - len(b)
}

// leading is how many digits a string begins with.
func leading(s string) int {
	n := 0
	for n < len(s) && s[n]-'0' < 10 {
		n++
	}
	return n
}
