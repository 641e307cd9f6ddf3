package serve

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// metrics count what the server does, for GET /metrics.
type metrics struct {
	mu       sync.Mutex
	requests map[[2]string]int64 // by path and status
	prompt   int64               // tokens
	cached   int64
	written  int64
	seconds  histogram // of a request that asked for texts
	waited   histogram // of a text, for its turn
	first    histogram // of a text, from its turn to its first token
}

// histogram counts values up to each of some bounds.
type histogram struct {
	bounds []float64
	counts []int64 // of values up to the bound and above the one before; the last has no bound
	sum    float64
}

func newHistogram(bounds ...float64) histogram {
	return histogram{bounds: bounds, counts: make([]int64, len(bounds)+1)}
}

func (h *histogram) add(v float64) {
	i, _ := slices.BinarySearch(h.bounds, v)
	h.counts[i]++
	h.sum += v
}

func newMetrics() *metrics {
	seconds := []float64{.01, .03, .1, .3, 1, 3, 10, 30, 100, 300}
	return &metrics{requests: map[[2]string]int64{}, seconds: newHistogram(seconds...), waited: newHistogram(seconds...), first: newHistogram(seconds...)}
}

// request counts a request that was answered.
func (m *metrics) request(path string, status int, seconds float64) {
	if !slices.Contains([]string{"/v1/completions", "/v1/chat/completions", "/v1/models", "/health", "/metrics", "/"}, path) {
		path = "other" // clients choose paths: each would be a series of its own
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests[[2]string{path, strconv.Itoa(status)}]++
	if strings.HasSuffix(path, "completions") && status == http.StatusOK {
		m.seconds.add(seconds)
	}
}

// texts counts what was read and written.
func (m *metrics) texts(all []*text) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range all {
		c := t.result
		if c.PromptTime == 0 && c.Prompt == nil { // it had no turn
			continue
		}
		m.prompt += int64(c.PromptTokens)
		m.cached += int64(c.Cached)
		m.written += int64(len(c.Tokens))
		m.waited.add(c.Waited.Seconds())
		if c.PromptTime > 0 { // a text that was only measured has no new token
			m.first.add(c.PromptTime.Seconds())
		}
	}
}

// showMetrics answers in the text format of Prometheus
// (https://prometheus.io/docs/instrumenting/exposition_formats).
func (s *Server) showMetrics(w http.ResponseWriter, _ *http.Request) {
	running, waiting := s.batch.Load()
	var b strings.Builder
	gauge := func(name, help string, v any) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n%s %v\n", name, help, name, name, v)
	}
	gauge("bitnet_texts_running", "Texts that are written now.", running)
	gauge("bitnet_texts_waiting", "Texts that wait for their turn.", waiting)
	gauge("bitnet_texts_at_once", "Texts that are written at once at most.", s.batch.AtOnce())
	gauge("bitnet_requests_in_flight", "Requests that are answered or wait.", len(s.places))
	gauge("bitnet_requests_in_flight_limit", "Requests that are answered or wait at most; more are refused.", cap(s.places))
	gauge("bitnet_context_tokens", "Tokens of a text at most.", s.context)
	gauge("process_start_time_seconds", "When the server started, in seconds since 1970.", fmt.Sprintf("%.3f", float64(s.started.UnixMilli())/1000))
	s.metrics.writeTo(&b)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	setDeadline(w, s.limits.Write)
	_, _ = io.WriteString(w, b.String())
}

func (m *metrics) writeTo(b *strings.Builder) {
	m.mu.Lock()
	defer m.mu.Unlock()
	head := func(name, help, kind string) { fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind) }
	head("bitnet_requests_total", "Requests answered, by path and status; 499: the client left before its answer.", "counter")
	for _, key := range slices.SortedFunc(maps.Keys(m.requests), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		fmt.Fprintf(b, "bitnet_requests_total{path=%q,status=%q} %d\n", key[0], key[1], m.requests[key])
	}
	for _, c := range []struct {
		name, help string
		v          int64
	}{
		{"bitnet_prompt_tokens_total", "Tokens of prompts, those that were known included.", m.prompt},
		{"bitnet_prompt_tokens_cached_total", "Tokens of prompts that were known from an earlier text.", m.cached},
		{"bitnet_generated_tokens_total", "Tokens written.", m.written},
	} {
		head(c.name, c.help, "counter")
		fmt.Fprintf(b, "%s %d\n", c.name, c.v)
	}
	for _, h := range []struct {
		name, help string
		h          *histogram
	}{
		{"bitnet_request_seconds", "Seconds of requests that asked for texts and got them.", &m.seconds},
		{"bitnet_wait_seconds", "Seconds that a text waited for its turn.", &m.waited},
		{"bitnet_first_token_seconds", "Seconds from a text's turn to its first token.", &m.first},
	} {
		head(h.name, h.help, "histogram")
		h.h.writeTo(b, h.name)
	}
}

func (h *histogram) writeTo(b *strings.Builder, name string) {
	count := int64(0)
	for i, n := range h.counts {
		count += n
		bound := "+Inf"
		if i < len(h.bounds) {
			bound = strconv.FormatFloat(h.bounds[i], 'g', -1, 64)
		}
		fmt.Fprintf(b, "%s_bucket{le=%q} %d\n", name, bound, count)
	}
	fmt.Fprintf(b, "%s_sum %v\n%s_count %d\n", name, h.sum, name, count)
}
