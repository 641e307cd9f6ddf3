package dash

import (
	"encoding/json"
	"log"
	"math"
	"net/http"
	"net/url"
	"sort"
	"strconv"

	"bitnet/bitnet/runs"
)

// series answers with the metrics between two steps, read from the file in
// at most so many rows as are asked for.
func (h *hub) series(w http.ResponseWriter, r *http.Request) {
	q, ok := h.query(w, r, "points", rows)
	if !ok || !h.enter(r) {
		return
	}
	defer h.leave()
	c, err := runs.ReadCurves(q.run.Log("metrics"), q.from, q.to, q.limit)
	if err != nil {
		unreadable(w, err)
		return
	}
	b := newBlock(q.name, c, math.MinInt64)
	// The time of training runs on from what came before.
	if reader := h.reader(q.name); reader != nil && len(b.Step) > 0 {
		var before float64
		reader.look(func() { before = timeOf(reader.logs.Curves, float64(b.Step[0])) })
		shift := before - b.Time[0]
		for i := range b.Time {
			b.Time[i] += shift
		}
	}
	answer(w, b)
}

// unreadable answers that a log cannot be read, and says why where the server was
// started.
func unreadable(w http.ResponseWriter, err error) {
	log.Print("bitnet dash: ", err)
	http.Error(w, "the metrics cannot be read", http.StatusInternalServerError)
}

// timeOf is the training time at a step, between the rows around it.
func timeOf(c *runs.Curves, step float64) float64 {
	s, t := c.X(runs.BySteps), c.X(runs.ByTime)
	i := sort.SearchFloat64s(s, step)
	switch {
	case len(s) == 0:
		return 0
	case i == len(s):
		return t[i-1]
	case i == 0:
		return t[0] * step / max(s[0], 1)
	}
	return t[i-1] + (t[i]-t[i-1])*(step-s[i-1])/(s[i]-s[i-1])
}

// shares are those of the ternary weights, a column for each moment.
type shares struct {
	Names  []string    `json:"names"`
	Step   []int64     `json:"step"`
	Shares [][3]column `json:"shares"` // by name: of -1, 0 and +1
}

// ternary answers with the shares between two steps. Of a whole run they come
// from what is in memory, of a part from the file.
func (h *hub) ternary(w http.ResponseWriter, r *http.Request) {
	q, ok := h.query(w, r, "columns", 400)
	if !ok {
		return
	}
	reader := h.reader(q.name)
	if reader == nil {
		http.NotFound(w, r)
		return
	}
	var s shares
	var coarse bool // the file may hold more of this stretch
	reader.look(func() {
		c := reader.logs.Curves
		s = newShares(c, q.from, q.to, q.limit)
		coarse = c.Width() > 1 && len(s.Step) > 0 && len(s.Step) < q.limit/2
	})
	if coarse {
		if !h.enter(r) {
			return
		}
		defer h.leave()
		c, err := runs.ReadCurves(q.run.Log("metrics"), q.from, q.to, q.limit)
		if err != nil {
			unreadable(w, err)
			return
		}
		s = newShares(c, q.from, q.to, q.limit)
	}
	answer(w, s)
}

// newShares picks at most limit of the moments that have shares, the newest among them.
func newShares(c *runs.Curves, from, to int64, limit int) shares {
	s := shares{Names: append([]string{}, c.Projections()...), Step: []int64{}, Shares: [][3]column{}}
	steps := c.X(runs.BySteps)
	all := make([][3][]float64, len(s.Names))
	for i, name := range s.Names {
		all[i] = c.Ternary(name)
	}
	var at []int
	for i, step := range steps {
		there := false
		for _, a := range all {
			there = there || !math.IsNaN(a[1][i])
		}
		if there && int64(step) >= from && (to == 0 || int64(step) <= to) {
			at = append(at, i)
		}
	}
	stride := (len(at) + limit - 1) / max(limit, 1)
	var picked []int
	for i := len(at) - 1; i >= 0; i -= max(stride, 1) {
		picked = append(picked, at[i])
	}
	sort.Ints(picked)
	for _, i := range picked {
		s.Step = append(s.Step, int64(steps[i]))
	}
	for _, a := range all {
		var columns [3]column
		for k := range columns {
			columns[k] = make(column, len(picked))
			for j, i := range picked {
				columns[k][j] = a[k][i]
			}
		}
		s.Shares = append(s.Shares, columns)
	}
	return s
}

type query struct {
	name     string
	run      *runs.Run
	from, to int64 // steps; to 0 for the end
	limit    int
}

// query reads the parts of a request that both answers have; to one that makes
// no sense it answers itself.
func (h *hub) query(w http.ResponseWriter, r *http.Request, limit string, most int) (query, bool) {
	v, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		http.Error(w, "the query is not well formed", http.StatusBadRequest)
		return query{}, false
	}
	q := query{name: v.Get("run"), run: h.run(v.Get("run"))}
	if q.run == nil {
		http.Error(w, "there is no such run", http.StatusNotFound)
		return q, false
	}
	for _, p := range []struct {
		key string
		to  *int64
	}{{"from", &q.from}, {"to", &q.to}} {
		if text := v.Get(p.key); text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n < 0 || n > 1<<53 {
				http.Error(w, p.key+" must be a step: a whole number from 0", http.StatusBadRequest)
				return q, false
			}
			*p.to = n
		}
	}
	if q.to > 0 && q.from > q.to {
		http.Error(w, "from must not be larger than to", http.StatusBadRequest)
		return q, false
	}
	if q.limit = most; v.Get(limit) != "" {
		n, err := strconv.Atoi(v.Get(limit))
		if err != nil || n < 2 {
			http.Error(w, limit+" must be a whole number from 2", http.StatusBadRequest)
			return q, false
		}
		q.limit = min(n, most)
	}
	return q, true
}

// enter waits for its turn to read a file; false if nobody waits for the
// answer any more.
func (h *hub) enter(r *http.Request) bool {
	select {
	case h.zooms <- struct{}{}:
		return true
	case <-r.Context().Done():
		return false
	}
}

func (h *hub) leave() { <-h.zooms }

func answer(w http.ResponseWriter, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "the answer cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(text)
}
