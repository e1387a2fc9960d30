// Package conduct remembers how runners have failed: which are ejected and
// until when, and which services fail everywhere. It knows no calls and starts
// nothing; its caller locks.
package conduct

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

const (
	// MaxLosses is the number of lanes that a runner can lose within
	// lossWindow.
	MaxLosses  = 3
	lossWindow = time.Minute
	// A runner is out for minOut at first, then for times that double up to
	// maxOut. After forgiveAfter without another ejection, it begins with minOut
	// again.
	minOut       = time.Second
	maxOut       = time.Minute
	forgiveAfter = 5 * time.Minute
	// maxRecords bounds the runners whose past is remembered.
	maxRecords = 4096
	// maxMessage bounds the text of an ejection, in bytes.
	maxMessage = 256
	// A service that fails on two runners within suspectFor is suspected to
	// provoke that: so long its failures do not count. maxSuspects bounds such
	// services.
	suspectFor  = time.Minute
	maxSuspects = 1024
)

// Record is what is remembered of a runner, by its id, also while the runner is
// away.
type Record struct {
	Out     bool // until it answers a probe
	Waived  bool // it gets calls although it is out: too many are
	Message string
	Until   time.Time     // of the next probe
	Wait    time.Duration // between the last two probes
	Members int           // attached as this runner

	cause  string
	since  time.Time
	back   time.Time   // when it was last taken back
	losses []time.Time // of lanes, the last ones
}

// Eject marks a runner as out, for longer if it was out not long ago.
func (r *Record) Eject(cause, message string) {
	now := time.Now()
	if r.Wait == 0 || now.Sub(r.back) > forgiveAfter {
		r.Wait = minOut
	} else {
		r.Wait = min(2*r.Wait, maxOut)
	}
	r.Out, r.cause, r.since, r.Until, r.losses = true, cause, now, now.Add(r.Wait), nil
	r.Message = strings.ToValidUTF8(message[:min(len(message), maxMessage)], "")
}

// Postpone sets the time of the next probe, after one that failed.
func (r *Record) Postpone() {
	r.Wait = min(2*r.Wait, maxOut)
	r.Until = time.Now().Add(r.Wait)
}

// Return takes a runner back.
func (r *Record) Return() { r.Out, r.Waived, r.back, r.losses = false, false, time.Now(), nil }

// Lose counts a lane that broke. It returns true when there were too many.
func (r *Record) Lose() bool {
	now := time.Now()
	r.losses = slices.DeleteFunc(r.losses, func(t time.Time) bool { return now.Sub(t) > lossWindow })
	r.losses = append(r.losses, now)
	return len(r.losses) >= MaxLosses && !r.Out
}

// Ejection returns the record as others see it.
func (r *Record) Ejection() *ruedov1.Ejection {
	return &ruedov1.Ejection{
		Cause: r.cause, Message: r.Message, Waived: r.Waived,
		EjectTime: timestamppb.New(r.since), ProbeTime: timestamppb.New(r.Until),
	}
}

// Records are the records by the ids of runners.
type Records map[string]*Record

// Attach returns the record of a runner that has attached.
func (rs Records) Attach(id string) *Record {
	r := rs[id]
	if r == nil {
		if len(rs) >= maxRecords {
			rs.forget()
		}
		r = &Record{}
		rs[id] = r
	}
	r.Members++
	return r
}

// Detach counts a runner that is gone, and forgets one that never failed.
func (rs Records) Detach(id string) {
	r := rs[id]
	if r == nil {
		return
	}
	if r.Members--; r.Members == 0 && !r.Out && len(r.losses) == 0 && r.Wait == 0 {
		delete(rs, id)
	}
}

// forget drops the records of runners that are away and innocent, and of all that
// are away if that is not enough.
func (rs Records) forget() {
	for _, all := range []bool{false, true} {
		for id, r := range rs {
			if r.Members == 0 && (all || !r.Out && len(r.losses) == 0) {
				delete(rs, id)
			}
		}
		if len(rs) < maxRecords/2 {
			return
		}
	}
}

// Suspects are services that have failed because of their runner, as it seemed.
type Suspects map[string]suspect

type suspect struct {
	runner string
	at     time.Time
	common bool // it has failed on another runner too
}

// Provokes records that a service has failed on a runner. It reports whether the
// service has just failed on another one, too: then it is more likely the service
// that provokes it, and no runner would do better.
func (s Suspects) Provokes(service, runner string) bool {
	if len(s) >= maxSuspects {
		clear(s)
	}
	now := time.Now()
	was, seen := s[service]
	seen = seen && now.Sub(was.at) < suspectFor
	switch {
	case seen && was.common:
		return true
	case seen && was.runner != runner:
		s[service] = suspect{was.runner, now, true}
		return true
	}
	s[service] = suspect{runner: runner, at: now}
	return false
}
