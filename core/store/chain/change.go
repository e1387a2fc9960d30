package chain

import (
	"context"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Bounds of the texts of a record.
const (
	maxName    = 256
	maxSummary = 1024
)

// clean returns at most limit bytes of a text, which may be of strangers.
func clean(s string, limit int) string {
	s = fault.Cut(s, limit) // first, so that a long text costs nothing
	return fault.Cut(strings.ToValidUTF8(s, "\uFFFD"), limit)
}

// Entry says what the audit has of a write: a [Change], [Changes], [Notes] or
// [Unrecorded].
type Entry interface {
	// records returns the records, without their places in a chain.
	records(ctx context.Context) ([]*ruedov1.AuditRecord, error)
}

// Unrecorded is a write that the audit has nothing of, because nobody asked for it
// as such: chunks of modules, history, events, results of jobs.
type Unrecorded struct{}

func (Unrecorded) records(context.Context) ([]*ruedov1.AuditRecord, error) { return nil, nil }

// Change is a write that somebody asked for. Who did, its context says; see
// [access.Of].
type Change struct {
	// Action is what is done, for example "publish". Required.
	Action string
	// Noun and Name are what it is done to.
	Noun, Name string
	// Summary says more about it, in a few words, and has no values in it.
	Summary string
	// Before is the version of the value that changes; zero if there was none, or
	// if it does not matter.
	Before int64
}

func (c Change) records(ctx context.Context) ([]*ruedov1.AuditRecord, error) {
	return Changes{c}.records(ctx)
}

// Changes are several changes that one transaction makes.
type Changes []Change

func (all Changes) records(ctx context.Context) ([]*ruedov1.AuditRecord, error) {
	var list []*ruedov1.AuditRecord
	by := access.Of(ctx)
	for _, c := range all {
		switch {
		case c.Action == "":
			return nil, fault.New(fault.Internal, "a change of %s %s does not say what is done", c.Noun, c.Name)
		case by == nil || by.Principal == nil || by.Name == "":
			return nil, fault.New(fault.Internal, "nothing says who wants to %s %s %s, so it is not done", c.Action, c.Noun, c.Name)
		}
		list = append(list, &ruedov1.AuditRecord{
			Time: timestamppb.Now(), Principal: clean(by.Name, maxName), Token: clean(by.Token, maxName), From: clean(by.From, maxName), Via: by.Via,
			Action: c.Action, Noun: c.Noun, Name: clean(c.Name, maxName), Summary: clean(c.Summary, maxSummary), Before: c.Before,
		})
	}
	return list, nil
}

// Note is something that was not a change: a login that failed, a request that was
// denied, a look at the audit.
type Note struct {
	// First is when it happened, for the first time if it happened often.
	First time.Time
	// By says who did it; nil if nobody is known.
	By *access.Request
	// Action, Noun and Name are what was done, or would have been.
	Action, Noun, Name string
	// Reason is why it was refused; "" if it was not.
	Reason fault.Reason
	// Summary says more about it.
	Summary string
	// Count is how often it happened, at least once.
	Count uint32
}

// MaxNotes bounds the notes of one transaction.
const MaxNotes = 50

// Notes are at most [MaxNotes] notes.
type Notes []Note

func (all Notes) records(context.Context) ([]*ruedov1.AuditRecord, error) {
	var list []*ruedov1.AuditRecord
	for _, n := range all {
		r := &ruedov1.AuditRecord{
			Time: timestamppb.New(n.First), Action: n.Action, Noun: n.Noun, Name: clean(n.Name, maxName),
			Reason: string(n.Reason), Summary: clean(n.Summary, maxSummary), Count: max(1, n.Count),
		}
		if by := n.By; by != nil {
			r.From, r.Via = clean(by.From, maxName), by.Via
			if by.Principal != nil {
				r.Principal, r.Token = clean(by.Name, maxName), clean(by.Token, maxName)
			}
		}
		list = append(list, r)
	}
	return list, nil
}
