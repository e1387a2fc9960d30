//go:build hostile

package hostile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// series holds the core's counters of requests and calls, by name and labels as
// /metrics writes them.
type series map[string]float64

// goroutinesMetric counts the goroutines of the core.
const goroutinesMetric = "go_goroutines"

// garbage returns how many bytes of garbage the core's collector lets pile up from
// now on before it runs, whatever the requests are.
func (c *cluster) garbage(ctx context.Context) (int, error) {
	goal, err := c.metric(ctx, "go_memstats_next_gc_bytes")
	if err != nil {
		return 0, err
	}
	heap, err := c.metric(ctx, "go_memstats_heap_alloc_bytes")
	return max(int(goal-heap), 0), err
}

// scrape reads the core's metrics.
func (c *cluster) scrape(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/metrics", nil)
	if err != nil {
		return "", err
	}
	req.Close, req.Header = true, bearing(c.observer)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %.200s", res.Status, text)
	}
	return string(text), err
}

// metric reads one metric without labels.
func (c *cluster) metric(ctx context.Context, name string) (float64, error) {
	text, err := c.scrape(ctx)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}

// counted reads the counters of the core.
func (c *cluster) counted(ctx context.Context) (series, error) {
	text, err := c.scrape(ctx)
	if err != nil {
		return nil, err
	}
	s := make(series)
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "ruedo_requests_total{") && !strings.HasPrefix(line, "ruedo_calls_total{") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		if s[line[:at]], err = strconv.ParseFloat(strings.TrimSpace(line[at:]), 64); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	if len(s) == 0 {
		return nil, errors.New("no request is counted")
	}
	return s, nil
}

// grown reports whether a counter with this result has grown since before.
func (s series) grown(before series, outcome fault.Reason) bool {
	for name, n := range s {
		if n > before[name] && strings.Contains(name, fmt.Sprintf("outcome=%q", string(outcome))) {
			return true
		}
	}
	return false
}

// refusal records a reason for accounted.
func (b *bout) refusal(r fault.Reason) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answered[r] = true
}

// accounted checks that every reason that was returned to the moves is counted.
// There are no exceptions, because the core returned every one of them.
func (b *bout) accounted(before series) {
	b.mu.Lock()
	answered := slices.Sorted(maps.Keys(b.answered))
	b.mu.Unlock()
	if len(answered) == 0 {
		return // nothing was refused
	}
	missing := slices.Clone(answered)
	var now series
	var err error
	testkit.Poll(backWithin, func() bool {
		if now, err = b.counted(b.ctx); err == nil {
			missing = slices.DeleteFunc(missing, func(r fault.Reason) bool { return now.grown(before, r) })
		}
		return err == nil && len(missing) == 0
	})
	switch {
	case err != nil:
		b.Errorf("the core's metrics cannot be read: %v", err)
	case len(missing) > 0:
		b.Errorf("the answers %v are counted nowhere in the core's metrics", missing)
	default:
		b.note("counted: %v", answered)
	}
}
