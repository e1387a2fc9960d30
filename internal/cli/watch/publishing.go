package watch

import (
	"context"
	"os"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Check returns an error if dir is not a directory.
func Check(dir string) error {
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return fault.Wrap(err, fault.Usage, "--watch needs a directory, not %s", dir).WithFix("name the directory of a service")
	}
	return nil
}

// Publishing publishes a directory now, and again each time one of its files
// changes, until ctx ends. What fails is printed and does not end it.
func Publishing(ctx context.Context, s *session.Session, dir string, publish func() error) error {
	if err := Check(dir); err != nil {
		return err
	}
	tree, err := New(dir)
	if err != nil {
		return err
	}
	for {
		began := time.Now()
		if err := publish(); err == nil {
			s.Infof("live after %s; watching %s", output.Duration(time.Since(began)), dir)
		} else if ctx.Err() == nil {
			s.Exit(err)
			s.Infof("watching %s for changes", dir)
		}
		switch err := tree.Next(ctx); {
		case ctx.Err() != nil:
			return nil // Ctrl-C is how it ends
		case err != nil:
			return err
		}
	}
}
