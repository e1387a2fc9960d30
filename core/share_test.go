package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// shelf holds back modules until the test lets them through.
type shelf struct {
	reads atomic.Int32
	let   chan error
}

func (s *shelf) read(ctx context.Context, digest string) ([]byte, error) {
	s.reads.Add(1)
	select {
	case err := <-s.let:
		return []byte(digest), err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type opened struct {
	io.ReadCloser
	err error
}

func TestRunnersThatWantOneModuleShareOneReadOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{let: make(chan error, 1)}
		m := newModules(s.read)
		got := make(chan opened, 10)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { r, err := m.open(ctx, "a"); got <- opened{r, err} }()
		synctest.Wait()
		for range 9 {
			go func() { r, err := m.open(t.Context(), "a"); got <- opened{r, err} }()
		}
		synctest.Wait()
		cancel() // the reading caller goes away; another one takes over
		if o := <-got; !errors.Is(o.err, context.Canceled) {
			t.Errorf("who went away got %v", o.err)
		}
		synctest.Wait()
		s.let <- nil
		for range 9 {
			o := <-got
			if o.err != nil {
				t.Fatal(o.err)
			}
			if b, _ := io.ReadAll(o); string(b) != "a" {
				t.Errorf("got %q", b)
			}
			o.Close()
			o.Close() // a second call does nothing
		}
		if n := s.reads.Load(); n != 2 || len(m.shared) != 0 || len(m.slots) != 0 {
			t.Errorf("%d reads, %d are kept, %d slots taken", n, len(m.shared), len(m.slots))
		}
	})
}

func TestFewModulesAreInMemoryAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{let: make(chan error, 100)}
		m := newModules(s.read)
		got := make(chan opened, 20)
		for i := range 20 {
			s.let <- nil
			go func() { r, err := m.open(t.Context(), fmt.Sprint(i)); got <- opened{r, err} }()
		}
		for n := range 20 {
			synctest.Wait()
			if open := int(s.reads.Load()) - n; open > maxModules {
				t.Fatalf("%d modules are open", open)
			}
			o := <-got
			if o.err != nil {
				t.Fatal(o.err)
			}
			o.Close()
		}
		damaged := errors.New("damaged")
		s.let <- damaged
		if _, err := m.open(t.Context(), "x"); err != damaged {
			t.Errorf("got %v", err)
		}
		if len(m.shared) != 0 || len(m.slots) != 0 {
			t.Errorf("%d are kept, %d slots taken", len(m.shared), len(m.slots))
		}
	})
}
