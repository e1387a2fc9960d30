package cli

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows a bar on stderr for what takes longer than 300 ms, on a
// terminal only. The result is called with what is done, and done when it ends.
func (a *app) progress(what string) (step func(n, total int64), done func()) {
	if !terminal(a.talkTo) || a.quiet {
		return func(int64, int64) {}, func() {}
	}
	start := time.Now()
	var bar *progressbar.ProgressBar
	step = func(n, total int64) {
		if bar == nil {
			if time.Since(start) < 300*time.Millisecond {
				return
			}
			bar = progressbar.NewOptions64(total,
				progressbar.OptionSetWriter(a.talkTo),
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
		if bar != nil {
			_ = bar.Clear()
		}
	}
}
