package assemble

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAPartThatHangsIsNamedAndLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		closed := false
		a := &Assembler{}
		a.onClose("the store", func() error { closed = true; return errors.New("badly") })
		a.onClose("the core", func() error { <-release; return nil })
		began := time.Now()
		err := a.Close()
		if err == nil || !strings.Contains(err.Error(), "the core did not stop within 12.5s") || !strings.Contains(err.Error(), "badly") {
			t.Errorf("Close: %v", err)
		}
		if took := time.Since(began); took > partTimeout+time.Second || !closed {
			t.Errorf("Close took %v; the store was closed: %t", took, closed)
		}
	})
}

func TestAPartThatServesForEverIsNamedAndLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, stop)
		began := time.Now()
		err := serve(ctx, "the runner", 0, func(context.Context) error { <-release; return nil })
		if err == nil || !strings.Contains(err.Error(), "the runner did not stop within") {
			t.Errorf("serve: %v", err)
		}
		if took := time.Since(began); took > serveTimeout+2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
	if err := serve(t.Context(), "the runner", 0, func(context.Context) error { return errors.New("badly") }); err == nil || err.Error() != "badly" {
		t.Errorf("serve: %v", err)
	}
}
