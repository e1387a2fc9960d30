package store

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/ruedo-dev/ruedo/core/store/storetest"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// A staged revision is written with the service, in one transaction, and the
// live revision stays.
func TestAStagedRevisionIsStoredAndNotLive(t *testing.T) {
	s := fresh(t)
	storetest.Put(t, s, storetest.Wasm("a"))
	storetest.Put(t, s, storetest.Wasm("b"))
	one := storetest.Publish(t, s, storetest.Service("greet", 1, storetest.Wasm("a")), 0)
	staged := storetest.Service("greet", 2, storetest.Wasm("b")).GetRevision()
	kept := proto.CloneOf(one)
	kept.Latest = 2
	pub := Publication{Service: kept, Staged: staged, Seen: one.GetVersion()}
	got, _, err := s.Publish(storetest.Context(t), pub)
	if err != nil || got.GetRevision().GetNumber() != 1 || got.GetLatest() != 2 || got.GetVersion() <= one.GetVersion() {
		t.Fatalf("%v, %v", got, err)
	}
	rev, err := s.Revision(t.Context(), "greet", 2)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, rev, staged)
	if _, _, err := s.Publish(storetest.Context(t), pub); !errors.Is(err, fault.Conflict) {
		t.Errorf("a stale version: %v", err)
	}
	pub.Seen, pub.Staged = got.GetVersion(), storetest.Service("greet", 3, storetest.Wasm("c")).GetRevision()
	pub.Service.Latest = 3
	if _, _, err := s.Publish(storetest.Context(t), pub); !errors.Is(err, fault.ModuleNotFound) {
		t.Errorf("a module that is not stored: %v", err)
	}
	pub.Staged = storetest.Service("greet", 4, storetest.Wasm("b")).GetRevision()
	if _, _, err := s.Publish(storetest.Context(t), pub); !errors.Is(err, fault.RequestInvalid) {
		t.Errorf("a number above the latest: %v", err)
	}
}
