package sandboxed

import (
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/contest"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// against adds the row that compares a contender with another one.
func (b *bench) against(prefix string, t contest.Times, name, baseline string) {
	b.row(prefix+name, table.Median(t[name]), "cpu us", prefix+baseline, table.Median(table.Ratios(t[name], t[baseline])))
}
