// Package trust is about who may do what: the nouns user, role, token, invite, audit
// and authority, and the commands grant, revoke, update and rotate.
package trust

import (
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// span is a duration on the command line, which can be in days: 90d.
type span time.Duration

// UnmarshalText reads a duration.
func (d *span) UnmarshalText(text []byte) error {
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 36500 {
			*d = span(time.Duration(n) * 24 * time.Hour)
			return nil
		}
	}
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return fault.New(fault.Usage, "%q is not a duration", fault.Cut(string(text), 32)).WithFix("use one such as 90d, 24h or 30m")
	}
	*d = span(v)
	return nil
}

// proto returns the duration; nil if it is zero.
func (d span) proto() *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(time.Duration(d))
}

// keepable fails if the output format would lose the secret that a command returns,
// which nobody shows again.
func keepable(s *session.Session, what string) error {
	if s.Print.Format != output.Name {
		return nil
	}
	return fault.New(fault.Usage, "-o name would lose %s", what).WithFix("leave it out, or use -o json")
}

// until writes when something ends.
func until(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return output.Moment(t.AsTime())
}
