package session

import (
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Progress shows a bar on stderr for work that takes longer than 300 ms, if
// stderr is a terminal. Call step with the bytes done so far and their total, -1
// if it is not known, and done when the work ends. Both can be called from
// several goroutines.
func (s *Session) Progress(what string) (step func(n, total int64), done func()) {
	if !Terminal(s.Err) || s.Quiet {
		return func(int64, int64) {}, func() {}
	}
	var mu sync.Mutex
	var start time.Time // of the first step
	var bar *progressbar.ProgressBar
	over := false
	step = func(n, total int64) {
		mu.Lock()
		defer mu.Unlock()
		if start.IsZero() {
			start = time.Now()
		}
		if over {
			return
		}
		if bar == nil {
			if time.Since(start) < 300*time.Millisecond {
				return
			}
			bar = progressbar.NewOptions64(total,
				progressbar.OptionSetWriter(s.Err),
				progressbar.OptionSetDescription(what),
				progressbar.OptionShowBytes(true),
				progressbar.OptionSetWidth(30),
				progressbar.OptionThrottle(65*time.Millisecond),
				progressbar.OptionClearOnFinish(),
			)
		}
		_ = bar.Set64(n)
	}
	return step, func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
		if bar != nil {
			_ = bar.Clear()
		}
	}
}
