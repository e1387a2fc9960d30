package exchange

import (
	"context"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/guests/site"
	"github.com/ruedo-dev/ruedo/internal/bench/table"
)

func TestTheNativePeerAnswersEveryScenario(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	far := httptest.NewUnstartedServer(site.Handler())
	far.Config.Protocols = both()
	far.Start()
	defer far.Close()
	to, err := url.Parse(far.URL)
	if err != nil {
		t.Fatal(err)
	}
	near := httptest.NewUnstartedServer(proxy(to))
	near.Config.Protocols = both()
	near.Start()
	defer near.Close()
	for _, sc := range scenarios {
		c, err := sc.open(ctx, near.URL)
		if err != nil {
			t.Errorf("%s: %v", sc.name, err)
			continue
		}
		for range 2 {
			begun := time.Now()
			first, err := c.call()
			took := time.Since(begun)
			switch streams := sc.name == "stream" || sc.name == "paced"; {
			case err != nil:
				t.Errorf("%s: %v", sc.name, err)
			case streams == first.IsZero():
				t.Errorf("%s: the first byte was there at %v", sc.name, first)
			case sc.name == "paced" && time.Since(first) < 2*time.Millisecond:
				t.Errorf("%s: the first byte was there %s before the end of %s", sc.name, time.Since(first), took)
			}
		}
		c.close()
	}
	if _, err := copyBack(ctx, near.URL); err != nil {
		t.Errorf("copy: %v", err)
	}
	events, err := listen(near.URL)
	if err != nil {
		t.Fatalf("events: %v", err)
	}
	_ = events.Close()
}

func TestRatiosAreThoseOfRounds(t *testing.T) {
	b := &bench{figures: make(map[string][]float64)}
	for round := range 3 {
		b.add(key{"get/c=16", native, "p50", "us"}, []float64{100, 200, 100}[round])
		b.add(key{"get/c=16", ours, "p50", "us"}, []float64{150, 320, 400}[round])
		b.add(key{"function/c=1", ours, "cpu", "cpu us"}, 20)
		b.add(key{"function/c=1", before, "cpu", "cpu us"}, 10)
	}
	want := []table.Row{
		{Name: "exchange/get/c=16/net-http/p50", Value: 100, Unit: "us"},
		{Name: "exchange/get/c=16/ruedo/p50", Value: 320, Unit: "us", Baseline: "exchange/get/c=16/net-http/p50", Ratio: 1.6},
		{Name: "exchange/function/c=1/ruedo/cpu", Value: 20, Unit: "cpu us", Baseline: "exchange/function/c=1/before/cpu", Ratio: 2},
		{Name: "exchange/function/c=1/before/cpu", Value: 10, Unit: "cpu us"},
	}
	got := b.rows()
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i, row := range got {
		if row != want[i] {
			t.Errorf("got %+v, want %+v", row, want[i])
		}
	}
	var said strings.Builder
	judge(&said, got)
	if want := "MISSED: exchange/get/c=16/ruedo/p50 is 1.60 times that of net-http, at most 1.50 is the target\n"; said.String() != want {
		t.Errorf("got %q, want %q", said.String(), want)
	}
}
