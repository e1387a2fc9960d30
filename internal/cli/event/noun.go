// Package event is the noun event: what has happened in the cluster.
package event

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/object"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/suggest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// every is how often a core is asked for new events.
const every = 2 * time.Second

// arguments are those of `ruedo get events`.
type arguments struct {
	Kind  []string `placeholder:"KIND" help:"List only events of this kind, for example runner_lost. May be repeated."`
	Watch bool     `short:"w" help:"Go on, and print events as they happen."`
}

// Noun is the events of the cluster.
func Noun() *verb.Noun {
	type E = *ruedov1.Event
	return &verb.Noun{
		Name: "event", Plural: "events",
		Get: verb.Get[E, arguments]{
			Doc: verb.Doc{
				Help: "List what has happened in the cluster: the last 1,000 events.",
				Examples: []string{
					"ruedo get events", "ruedo get events --watch", "ruedo get events --kind runner_lost --kind leader_elected -o wide",
				},
			},
			Fetch: func(ctx context.Context, core *client.Client, a arguments) ([]E, error) {
				items, _, err := fetch(ctx, core, a, 0)
				return items, err
			},
			Follow:  follow,
			Message: message,
			Name:    E.GetId,
			Empty:   "no events",
			Columns: columns,
		},
	}
}

func message(items []*ruedov1.Event) proto.Message {
	res := &ruedov1.ListEventsResponse{Items: items}
	for _, e := range items {
		res.Version = max(res.Version, e.GetVersion())
	}
	return res
}

var columns = []output.Column[*ruedov1.Event]{
	{Head: "LAST", Cell: func(e *ruedov1.Event) string { return output.Since(e.GetTime()) }},
	{Head: "COUNT", Cell: func(e *ruedov1.Event) string { return fmt.Sprint(e.GetCount()) }},
	{Head: "KIND", Cell: func(e *ruedov1.Event) string { return object.Word(e.GetKind()) }},
	{Head: "OBJECT", Cell: (*ruedov1.Event).GetObject},
	{Head: "CORE", Cell: (*ruedov1.Event).GetCore},
	{Head: "TEXT", Cell: (*ruedov1.Event).GetText},
	{Head: "FIRST", Cell: func(e *ruedov1.Event) string { return output.Since(e.GetFirstTime()) }, Wide: true},
	{Head: "ID", Cell: (*ruedov1.Event).GetId, Wide: true},
}

// fetch returns the events after a version, and the version of the store.
func fetch(ctx context.Context, core *client.Client, a arguments, after int64) ([]*ruedov1.Event, int64, error) {
	kinds, err := parse(a.Kind)
	if err != nil {
		return nil, 0, err
	}
	res, err := core.Events.ListEvents(ctx, &ruedov1.ListEventsRequest{AfterVersion: after, Kinds: kinds})
	return res.GetItems(), res.GetVersion(), err
}

// parse returns the kinds that have these words.
func parse(words []string) (kinds []ruedov1.EventKind, err error) {
	var known []string
	byWord := map[string]ruedov1.EventKind{}
	for n := range ruedov1.EventKind_name {
		if kind := ruedov1.EventKind(n); n != 0 {
			known = append(known, object.Word(kind))
			byWord[object.Word(kind)] = kind
		}
	}
	slices.Sort(known)
	for _, word := range words {
		kind, ok := byWord[strings.ToLower(word)]
		if !ok {
			return nil, fault.New(fault.Usage, "there is no kind of event %q", word).
				WithFix("%s", suggest.Or(word, known, "use one of "+strings.Join(known, ", ")))
		}
		kinds = append(kinds, kind)
	}
	return kinds, nil
}

// follow prints events as they happen, until the user interrupts it, if that is
// asked for. A core that does not answer for a while does not end it.
func follow(s *session.Session, a arguments) (bool, error) {
	if !a.Watch {
		return false, nil
	}
	core, err := s.Connect()
	if err != nil {
		return true, err
	}
	after, failed := int64(0), false
	for first := true; ; first = false {
		items, version, err := fetch(s.Ctx, core, a, after)
		switch {
		case s.Ctx.Err() != nil:
			return true, s.Ctx.Err()
		case err != nil && first:
			return true, err
		case err != nil && !failed:
			s.Warnf("no events at present: %v", err)
		case err == nil:
			// A store restored from an older copy has lower versions again.
			after = version
		}
		failed = err != nil
		if err := show(s, items, first); err != nil {
			return true, err
		}
		select {
		case <-time.After(every):
		case <-s.Ctx.Done():
			return true, s.Ctx.Err()
		}
	}
}

// show prints some events; the first ones with a headline.
func show(s *session.Session, items []*ruedov1.Event, first bool) error {
	if s.Print.ForPeople() || s.Print.Format == output.Name {
		if len(items) == 0 && !first {
			return nil
		}
		p := s.Print
		p.NoHeaders = p.NoHeaders || !first
		empty := "no events yet"
		return output.List(&p, message(items), items, (*ruedov1.Event).GetId, empty, columns...)
	}
	for _, e := range items {
		if err := s.Print.Item(e); err != nil {
			return err
		}
	}
	return nil
}
