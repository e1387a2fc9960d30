package output

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// Calls writes the log of a cluster for a user who watches: a line for each call
// and for each line of a guest, in columns.
//
//	15:04:05.000  greet@3          1.23ms  ok
//	15:04:05.000  greet@3                  | INFO hello
//	15:04:06.000  greet@3          0.98ms  GUEST_ERROR: name is blank (call 01K…)
//
// Each line is one write.
type Calls struct {
	W io.Writer
	// Color marks what went well and what did not.
	Color bool
	// Others handles the other records. Nil: warnings and errors are lines, and
	// the rest is left out.
	Others slog.Handler

	attrs []slog.Attr
}

var _ slog.Handler = Calls{}

// Enabled reports whether records of a level are written.
func (c Calls) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || c.Others != nil && c.Others.Enabled(ctx, level)
}

// Handle writes a record.
func (c Calls) Handle(ctx context.Context, r slog.Record) error {
	attrs := slices.Clip(c.attrs)
	r.Attrs(func(a slog.Attr) bool {
		if !a.Equal(slog.Attr{}) {
			attrs = append(attrs, a)
		}
		return true
	})
	line := ""
	switch {
	case r.Message == "executed call":
		line = c.call(values(attrs))
	case r.Message == "guest":
		line = guest(values(attrs))
	case c.Others != nil && c.Others.Enabled(ctx, r.Level):
		return c.Others.Handle(ctx, r)
	case c.Others != nil || r.Level < slog.LevelWarn:
		return nil
	default:
		line = c.other(r, attrs)
	}
	_, err := fmt.Fprintf(c.W, "%s  %s\n", r.Time.Format("15:04:05.000"), line)
	return err
}

// values returns attributes as text that cannot steer a terminal.
func values(attrs []slog.Attr) map[string]string {
	m := make(map[string]string, len(attrs))
	for _, a := range attrs {
		m[a.Key] = Safe(a.Value.String())
		if a.Value.Kind() == slog.KindDuration {
			m[a.Key] = Duration(a.Value.Duration())
		}
	}
	return m
}

func (c Calls) call(a map[string]string) string {
	outcome := c.paint(green, a["outcome"])
	if a["outcome"] != "ok" {
		outcome = c.paint(red, a["outcome"])
		if why := a["error"]; why != "" {
			outcome += ": " + why
		}
		outcome += " (call " + a["call_id"] + ")"
	}
	return fmt.Sprintf("%-16s %9s  %s", a["service"]+"@"+a["revision"], a["duration"], outcome)
}

func guest(a map[string]string) string {
	line := a["line"]
	if n := a["lines_omitted"]; n != "" {
		line = fmt.Sprintf("... %s lines are not shown: see ruedo logs %s", n, a["service"])
	}
	return fmt.Sprintf("%-16s %9s  | %s", a["service"]+"@"+a["revision"], "", line)
}

// other returns a warning with what it is about and, at the end, why.
func (c Calls) other(r slog.Record, attrs []slog.Attr) string {
	text := c.paint(red, strings.ToLower(r.Level.String())+":") + " " + Safe(r.Message)
	var about []string
	why := ""
	for _, a := range attrs {
		if a.Key == "error" {
			why = ": " + Safe(a.Value.String())
			continue
		}
		about = append(about, Safe(a.Key+" "+a.Value.String()))
	}
	if len(about) > 0 {
		text += " (" + strings.Join(about, ", ") + ")"
	}
	return text + why
}

// Codes of colours.
const (
	red   = "31"
	green = "32"
)

func (c Calls) paint(color, text string) string {
	if !c.Color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// WithAttrs returns a handler that adds attributes to each record.
func (c Calls) WithAttrs(attrs []slog.Attr) slog.Handler {
	c.attrs = slices.Concat(c.attrs, attrs)
	if c.Others != nil {
		c.Others = c.Others.WithAttrs(attrs)
	}
	return c
}

// WithGroup returns a handler that puts attributes of other records into a
// group.
func (c Calls) WithGroup(name string) slog.Handler {
	if c.Others != nil {
		c.Others = c.Others.WithGroup(name)
	}
	return c
}
