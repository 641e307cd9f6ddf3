package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// slack is how much later a request may be read than one that came after it: on a
// busy machine, goroutines do not run in the order in which they became ready.
const slack = time.Second

// inOrder reads the server's log, and checks that the requests since a time had
// their turns in the order in which they came.
func inOrder(log string, since time.Time) error {
	text, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	type request struct{ came, turn time.Time }
	var all []request
	for line := range strings.Lines(string(text)) {
		var r struct {
			Time    time.Time
			Status  int
			Texts   int
			Wait_MS float64
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return fmt.Errorf("a line of the log is not JSON: %q", line)
		}
		if r.Status == 200 && r.Texts > 0 && r.Time.After(since) {
			all = append(all, request{r.Time, r.Time.Add(time.Duration(r.Wait_MS * float64(time.Millisecond)))})
		}
	}
	slices.SortFunc(all, func(a, b request) int { return cmp.Compare(a.came.UnixNano(), b.came.UnixNano()) })
	var latest time.Time
	for i, r := range all {
		if r.turn.Before(latest.Add(-slack)) {
			return fmt.Errorf("request %d of %d had its turn %s before one that came earlier", i+1, len(all), latest.Sub(r.turn))
		}
		if r.turn.After(latest) {
			latest = r.turn
		}
	}
	return nil
}
