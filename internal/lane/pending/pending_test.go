package pending_test

import (
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/internal/lane/pending"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type call struct {
	at   time.Time
	late chan time.Time
}

func newTable() *pending.Table[call] {
	return pending.New(func(c *call) { c.late <- time.Now() })
}

// Whatever the order of their deadlines, values are late at theirs, and the others stay.
func TestValuesAreLateAtTheirDeadlines(t *testing.T) {
	table := newTable()
	began := time.Now()
	calls := make([]*call, 40)
	for i := range calls {
		c := &call{late: make(chan time.Time, 1)}
		switch i % 4 {
		case 0:
			c.at = began.Add(time.Hour)
		case 1:
			c.at = began.Add(time.Duration(len(calls)-i) * time.Millisecond)
		case 2:
			c.at = began.Add(time.Duration(i) * time.Millisecond)
		}
		calls[i] = c
		if !table.Put(uint64(i), c, c.at) {
			t.Fatal("it was not added")
		}
	}
	for i, c := range calls {
		if i%4 == 1 || i%4 == 2 {
			if when := <-c.late; when.Before(c.at) {
				t.Errorf("call %d was late %s too early", i, c.at.Sub(when))
			}
			if table.Take(uint64(i)) != nil {
				t.Errorf("call %d is late and still there", i)
			}
		}
	}
	left := 0
	table.Each(func(*call) bool { left++; return true })
	table.Close(func(c *call) {
		if left--; !c.at.IsZero() && time.Until(c.at) < time.Minute {
			t.Error("a call that is late was left")
		}
	})
	if left != 0 {
		t.Errorf("%d more were there than were left", left)
	}
	if table.Put(1, calls[0], time.Time{}) {
		t.Error("a closed table takes more")
	}
}

// Exactly one has each value, whoever else wants it at the same time.
func TestAValueIsTakenOnce(t *testing.T) {
	var had sync.Map
	have := func(c *call) {
		if _, twice := had.LoadOrStore(c, true); twice {
			t.Error("a call was had twice")
		}
	}
	table := pending.New(have)
	const each = 2000
	var wg sync.WaitGroup
	for g := range uint64(4) {
		wg.Go(func() {
			for i := range uint64(each) {
				id := g*each + i
				table.Put(id, &call{}, time.Now().Add(time.Duration(i%50)*time.Microsecond))
				table.With(id, func(*call) {})
				if c := table.Take(id - i%3); c != nil {
					have(c)
				}
			}
		})
	}
	wg.Wait()
	table.Close(have)
	n := 0
	had.Range(func(any, any) bool { n++; return true })
	if n != 4*each {
		t.Errorf("%d calls were had, want %d", n, 4*each)
	}
}
