package audit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ruedo-dev/ruedo/core/audit"
	"github.com/ruedo-dev/ruedo/core/jobs"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/records"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/v1/ruedov1connect"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a core's audit on a store, and a client of its handler.
type site struct {
	*audit.Audit
	store  *store.Store
	client ruedov1connect.AuditServiceClient
}

func open(t *testing.T, cfg audit.Config) *site {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Client: etcdtest.Start(t, etcdembed.Config{}).Client(), Cluster: "main", OpTimeout: testkit.Patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if cfg.Records == nil {
		cfg.Records = records.New(records.Config{Cluster: s.Cluster(), Guard: s.Guard(), Chain: s.Chain()})
	}
	if cfg.Pause == 0 {
		cfg.Pause = time.Millisecond
	}
	a := audit.New(cfg)
	t.Cleanup(a.Close)
	_, h := a.Handler()
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	return &site{a, s, ruedov1connect.NewAuditServiceClient(web.Client(), web.URL)}
}

// list returns what a request lists, each record as a line.
func (s *site) list(t *testing.T, req *ruedov1.ListAuditRecordsRequest) (lines []string) {
	t.Helper()
	stream, err := s.client.ListAuditRecords(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for stream.Receive() {
		for _, r := range stream.Msg().GetItems() {
			if r.GetNoun() == "audit" { // somebody has read it
				continue
			}
			lines = append(lines, line(r))
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func line(r *ruedov1.AuditRecord) string {
	l := fmt.Sprintf("%s %s %s/%s", r.GetPrincipal(), r.GetAction(), r.GetNoun(), r.GetName())
	if r.GetReason() != "" {
		l += " " + r.GetReason()
	}
	if n := r.GetCount(); n > 1 {
		l += fmt.Sprintf(" x%d", n)
	}
	return l
}

func as(ctx context.Context, name, from string) context.Context {
	return access.With(ctx, &access.Request{Principal: &access.Principal{Name: name, Grants: access.Set{access.Everything}}, From: from, Via: access.ViaTCP})
}

func (s *site) create(t *testing.T, by, name string) {
	t.Helper()
	if _, err := s.store.CreateDecorator(as(t.Context(), by, "192.0.2.1"), &ruedov1.Decorator{Name: name}); err != nil {
		t.Fatal(err)
	}
}

func TestListing(t *testing.T) {
	s := open(t, audit.Config{Pause: 20 * time.Millisecond})
	s.create(t, "user/ada", "one")
	s.create(t, "okta/ada", "two")
	s.create(t, "user/bob", "three")
	for range 3 {
		s.Denied(as(t.Context(), "user/bob", "192.0.2.9"), "delete", "decorator", "one", fault.PermissionDenied)
	}
	s.Denied(as(t.Context(), access.Anonymous, "192.0.2.9"), "login", "user", "ada", fault.Unauthenticated)
	all := []string{
		"user/ada create decorator/one", "okta/ada create decorator/two", "user/bob create decorator/three",
		"user/bob delete decorator/one PERMISSION_DENIED x3", "anonymous login user/ada UNAUTHENTICATED",
	}
	testkit.Eventually(t, "all is written", func() bool { return len(s.list(t, &ruedov1.ListAuditRecordsRequest{})) == len(all) })
	for _, c := range []struct {
		req  *ruedov1.ListAuditRecordsRequest
		want []string
	}{
		{&ruedov1.ListAuditRecordsRequest{}, all},
		{&ruedov1.ListAuditRecordsRequest{By: "ada"}, all[:2]},
		{&ruedov1.ListAuditRecordsRequest{By: "user/ada"}, all[:1]},
		{&ruedov1.ListAuditRecordsRequest{By: "anonymous"}, all[4:]},
		{&ruedov1.ListAuditRecordsRequest{By: "eve"}, nil},
		{&ruedov1.ListAuditRecordsRequest{On: "decorator"}, all[:4]},
		{&ruedov1.ListAuditRecordsRequest{On: "decorator/one"}, []string{all[0], all[3]}},
		{&ruedov1.ListAuditRecordsRequest{On: "decorator/"}, nil},
		{&ruedov1.ListAuditRecordsRequest{Denied: true}, all[3:]},
		{&ruedov1.ListAuditRecordsRequest{Denied: true, Newest: 1, On: "decorator"}, all[3:4]},
		{&ruedov1.ListAuditRecordsRequest{Newest: 2, On: "decorator"}, all[2:4]},
		{&ruedov1.ListAuditRecordsRequest{Since: durationpb.New(time.Hour), By: "ada"}, all[:2]},
	} {
		if got := s.list(t, c.req); !slices.Equal(got, c.want) {
			t.Errorf("%v:\n\t%s\nwant\n\t%s", c.req, strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
		}
	}
	stream, err := s.client.ListAuditRecords(t.Context(), &ruedov1.ListAuditRecordsRequest{Newest: 10_001})
	if err == nil {
		stream.Receive()
		err = stream.Err()
	}
	if err == nil || !strings.Contains(err.Error(), "over the limit of 10000") {
		t.Errorf("%v", err)
	}
}

// Whoever reads the audit is in it.
func TestReadingIsRecorded(t *testing.T) {
	s := open(t, audit.Config{})
	s.create(t, "user/ada", "one")
	s.list(t, &ruedov1.ListAuditRecordsRequest{})
	testkit.Eventually(t, "it is recorded", func() bool {
		stream, err := s.client.ListAuditRecords(t.Context(), &ruedov1.ListAuditRecordsRequest{On: "audit"})
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		return stream.Receive() && stream.Msg().GetItems()[0].GetAction() == "read"
	})
}

func TestFollowing(t *testing.T) {
	s := open(t, audit.Config{})
	s.create(t, "user/ada", "one")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := s.client.ListAuditRecords(ctx, &ruedov1.ListAuditRecordsRequest{Follow: true, On: "decorator"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, name := range []string{"two", "three", "four"} {
		if !stream.Receive() {
			t.Fatal(stream.Err())
		}
		for _, r := range stream.Msg().GetItems() {
			got = append(got, r.GetName())
		}
		if len(got) != i+1 {
			t.Fatalf("%q", got)
		}
		s.create(t, "user/ada", name)
	}
	if got := strings.Join(got, " "); got != "one two three" {
		t.Error(got)
	}
	cancel()
	for stream.Receive() {
	}
	if connect.CodeOf(stream.Err()) != connect.CodeCanceled {
		t.Errorf("%v", stream.Err())
	}
}

// A core that goes down does not wait for those who follow.
func TestFollowingEndsWithTheCore(t *testing.T) {
	down, stop := context.WithCancel(t.Context())
	s := open(t, audit.Config{Down: down})
	s.create(t, "user/ada", "one")
	stream, err := s.client.ListAuditRecords(t.Context(), &ruedov1.ListAuditRecordsRequest{Follow: true, On: "decorator"})
	if err != nil || !stream.Receive() {
		t.Fatal(err)
	}
	stop()
	for stream.Receive() {
	}
	if err := stream.Err(); err != nil {
		t.Error(err)
	}
}

// slow is an audit in a store that does not answer.
type slow struct {
	*records.Records
	enter chan chain.Notes
	leave chan error
}

func (s *slow) Write(ctx context.Context, notes chain.Notes) error {
	select {
	case s.enter <- notes:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-s.leave:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// However many requests are refused, few records come of it, none of them is kept
// waiting, and none is forgotten.
func TestAFlood(t *testing.T) {
	s := &slow{enter: make(chan chain.Notes), leave: make(chan error)}
	a := audit.New(audit.Config{Records: s, Pause: time.Millisecond})
	const requests, workers = 100_000, 4
	began := time.Now()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range requests / workers {
				a.Denied(as(context.Background(), access.Anonymous, fmt.Sprintf("192.0.%d.%d", w, i%256)), "login", "user", fmt.Sprint("u", i%100), fault.Unauthenticated)
			}
		})
	}
	wg.Wait()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the requests waited for %v", took)
	}
	total, written := uint32(0), 0
	for total < requests {
		notes := <-s.enter
		if len(notes) > audit.MaxASecond {
			t.Fatalf("%d records at a time", len(notes))
		}
		if written == 0 { // the store does not accept them yet
			written++
			s.leave <- errors.New("away")
			continue
		}
		s.leave <- nil
		for _, n := range notes {
			total += n.Count
		}
		written++
	}
	if total != requests || written > 4 {
		t.Errorf("%d of %d in %d writes", total, requests, written)
	}
	a.Close()
}

// What has not been written when a core ends is written then, unless the store does
// not accept it.
func TestClosing(t *testing.T) {
	s := &slow{enter: make(chan chain.Notes), leave: make(chan error)}
	a := audit.New(audit.Config{Records: s, Pause: time.Hour})
	a.Denied(t.Context(), "delete", "service", "greet", fault.PermissionDenied)
	closed := make(chan struct{})
	go func() { defer close(closed); a.Close() }()
	if notes := <-s.enter; len(notes) != 1 || notes[0].Name != "greet" {
		t.Errorf("%v", notes)
	}
	s.leave <- nil
	<-closed
	a.Denied(t.Context(), "delete", "service", "later", fault.PermissionDenied) // nobody writes it

	a = audit.New(audit.Config{Records: s, Pause: time.Hour})
	a.Denied(t.Context(), "delete", "service", "greet", fault.PermissionDenied)
	began := time.Now()
	a.Close()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestTheJobRemovesOldRecords(t *testing.T) {
	s := open(t, audit.Config{Keep: time.Hour, Most: 5})
	for i := range 12 {
		s.create(t, "user/ada", fmt.Sprint("d", i))
	}
	led, err := s.store.Cluster().Campaign(t.Context(), &ruedov1.Leader{Core: "c"}, 0)
	if err != nil || led == nil {
		t.Fatal(err)
	}
	defer func() { _ = led.Resign(context.WithoutCancel(t.Context())) }()
	r := jobs.New(jobs.Config{Store: s.store, Core: "c", Jobs: []jobs.Job{s.Job()}})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.Lead(ctx, led.Fence()) })
	defer wg.Wait()
	defer cancel()
	if res, err := r.Run(t.Context(), "trim-audit", true); err != nil || res.GetRun().GetResult() != "would remove 7 records" {
		t.Errorf("%v, %v", res, err)
	}
	testkit.Eventually(t, "the leader removes them", func() bool {
		res, err := r.Run(t.Context(), "trim-audit", false)
		return err == nil && res.GetRun().GetResult() == "removed 7 records"
	})
	if got := s.list(t, &ruedov1.ListAuditRecordsRequest{}); len(got) != 5 || got[0] != "user/ada create decorator/d7" {
		t.Errorf("%q", got)
	}
}
