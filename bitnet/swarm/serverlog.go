package swarm

import (
	"fmt"
	"sync"
)

// serverLog remembers the last error of the embedded NATS server, for the message
// of a start that fails. All else that it logs says nothing to our users.
type serverLog struct {
	mu   sync.Mutex
	line string
}

func (l *serverLog) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.line == "" {
		return "it gave no reason"
	}
	return l.line
}

func (l *serverLog) keep(format string, v []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line = fmt.Sprintf(format, v...)
}

func (l *serverLog) Noticef(string, ...any)         {}
func (l *serverLog) Warnf(string, ...any)           {}
func (l *serverLog) Debugf(string, ...any)          {}
func (l *serverLog) Tracef(string, ...any)          {}
func (l *serverLog) Errorf(format string, v ...any) { l.keep(format, v) }
func (l *serverLog) Fatalf(format string, v ...any) { l.keep(format, v) }
