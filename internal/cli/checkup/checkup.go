// Package checkup prints checks and turns them into an exit code: those of a
// cluster, which a core has made, and those of this machine.
package checkup

import (
	"strings"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/object"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
)

// Print prints a line for each check, and below it what to do.
func Print(s *session.Session, checks []*ruedov1.HealthCheck) error {
	level, name := 0, 0
	for _, c := range checks {
		level, name = max(level, len(object.Word(c.GetLevel()))), max(name, len(c.GetName()))
	}
	for _, c := range checks {
		if err := s.Printf("%-*s  %-*s  %s", level, object.Word(c.GetLevel()), name, output.Safe(c.GetName()), output.Safe(c.GetMessage())); err != nil {
			return err
		}
		if c.GetFix() == "" {
			continue
		}
		if err := s.Printf("%s  fix: %s", strings.Repeat(" ", level+2+name), output.Safe(c.GetFix())); err != nil {
			return err
		}
	}
	return nil
}

// Worst returns the worst level of the checks; OK if there are none.
func Worst(checks []*ruedov1.HealthCheck) ruedov1.HealthLevel {
	worst := ruedov1.HealthLevel_HEALTH_LEVEL_OK
	for _, c := range checks {
		worst = max(worst, c.GetLevel())
	}
	return worst
}

// Result returns the result of a command that has found this level: 0 if all is
// well, 1 for a warning, 2 for worse.
func Result(level ruedov1.HealthLevel) error {
	switch level {
	case ruedov1.HealthLevel_HEALTH_LEVEL_OK:
		return nil
	case ruedov1.HealthLevel_HEALTH_LEVEL_WARNING:
		return session.Code(1)
	}
	return session.Code(2)
}
