package door

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ruedo-dev/ruedo/core/auth"
	"github.com/ruedo-dev/ruedo/core/mirror"
	"github.com/ruedo-dev/ruedo/core/store"
	"github.com/ruedo-dev/ruedo/core/store/chain"
	"github.com/ruedo-dev/ruedo/core/store/principals"
	storev1 "github.com/ruedo-dev/ruedo/gen/ruedo/store/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/bench/contest"
	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/keys"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// How many tokens a cluster has, of how many users, and how many are written together.
const (
	tokens = 10_000
	users  = 100
	batch  = 100
)

// authorize: what does a request pay for who it is of, and whether it may call a service?
// The store is closed before anything is measured, so whatever read it would fail.
func (b *bench) authorize() error {
	with, without, err := b.houses()
	if err != nil {
		return err
	}
	defer with.Close()
	defer without.Close()
	var contenders []contest.Contender
	for _, w := range []struct {
		name, token string
		of          *house
	}{{"none", "", without}, {"token", with.plain, with}, {"narrowed", with.narrowed, with}} {
		contenders = append(contenders, contest.Contender{Name: w.name, Do: w.of.asking(w.token)})
	}
	for _, c := range contenders { // the first request finds out what has changed
		if err := c.Do(1); err != nil {
			return err
		}
	}
	t, err := contest.Run(b.ctx, b.Rounds, b.Slice/5, contenders)
	if err != nil {
		return err
	}
	for _, c := range contenders {
		b.add("door/authorize/"+c.Name+"/cpu", "cpu us", t[c.Name], "none", t["none"])
		allocations := testing.AllocsPerRun(1000, func() { err = errors.Join(err, c.Do(1)) })
		b.add("door/authorize/"+c.Name+"/allocations", "", []float64{allocations}, "", nil)
	}
	return err
}

// houses returns what a core knows of a cluster with logins, and of one without. Their
// store is closed, and what followed it.
func (b *bench) houses() (with, without *house, err error) {
	etcd, err := etcdembed.Start(b.ctx, etcdembed.Config{Dir: filepath.Join(b.dir, "authorize"), UnsafeNoFsync: true})
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, etcd.Close()) }()
	if with, err = newHouse(b.ctx, etcd, "with", true); err != nil {
		return nil, nil, err
	}
	without, err = newHouse(b.ctx, etcd, "without", false)
	return with, without, err
}

// house is what a core knows of a cluster: who may do something in it.
type house struct {
	*auth.Auth
	// Two tokens of a user with as many grants as there should be. One is narrowed by the
	// same grants.
	plain, narrowed string
}

// newHouse makes a cluster in a store and reads it.
func newHouse(ctx context.Context, etcd *etcdembed.Server, id string, login bool) (_ *house, err error) {
	st, err := store.Open(ctx, store.Config{Client: etcd.Client(), Check: etcd.Check, Cluster: id})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	h := &house{}
	if login {
		if err := h.settle(ctx, st); err != nil {
			return nil, err
		}
	}
	m, err := mirror.Open(ctx, mirror.Config{Store: st})
	if err != nil {
		return nil, err
	}
	h.Auth = auth.New(auth.Config{Mirror: m, Cluster: id, Missing: st.Missing, MaxStale: math.MaxInt64})
	return h, m.Close() // what it has read remains
}

// settle has callers log in, and writes users and their tokens.
func (h *house) settle(ctx context.Context, st *store.Store) error {
	ctx = access.WithPrincipal(ctx, "user/bench")
	p := principals.New(principals.Config{Cluster: st.Cluster(), Guard: st.Guard(), Missing: st.Missing})
	if _, err := p.EnsureAccess(ctx, true, nil); err != nil {
		return err
	}
	first := principals.Batch{Change: chain.Change{Action: "create", Noun: "user"}}
	for i := range users {
		u := &storev1.User{User: &ruedov1.User{Name: userName(i), Machine: true, Grants: manyGrants()}}
		first.Users = append(first.Users, u)
		first.If = append(first.If, principals.Seen{Kind: keys.KindUser, Name: userName(i)})
	}
	if _, err := p.Write(ctx, first); err != nil {
		return err
	}
	until := timestamppb.New(time.Now().Add(time.Hour))
	for begin := 0; begin < tokens; begin += batch {
		next := principals.Batch{Change: chain.Change{Action: "create", Noun: "token"}}
		for i := begin; i < begin+batch; i++ {
			t := token.New(token.Bearer)
			hash := t.Hash()
			stored := &storev1.Token{Token: &ruedov1.Token{Id: t.ID(), User: userName(i % users), ExpireTime: until}, Hash: hash[:]}
			if i%2 == 0 {
				h.plain = t.Reveal()
			} else {
				stored.Token.Grants, h.narrowed = manyGrants(), t.Reveal()
			}
			next.Tokens = append(next.Tokens, stored)
			next.If = append(next.If, principals.Seen{Kind: keys.KindToken, Name: t.ID()})
		}
		if _, err := p.Write(ctx, next); err != nil {
			return err
		}
	}
	return nil
}

func userName(i int) string { return fmt.Sprintf("user-%d", i) }

// asking returns what asks, as often as it is told, who a request with a token is of and
// whether it may call the service.
func (h *house) asking(text string) func(n int) error {
	r := httptest.NewRequest(http.MethodPost, "/call/"+service, http.NoBody)
	if text != "" {
		r.Header.Set("Authorization", "Bearer "+text)
	}
	rule := access.Needs(access.Call, access.Service)
	x := &request{Context: context.Background()}
	return func(n int) error {
		for range n {
			p, refused := h.Identify(r, access.ViaTCP, "127.0.0.1")
			if refused != nil {
				return refused
			}
			x.of = access.Request{Principal: p, Via: access.ViaTCP, From: "127.0.0.1"}
			if err := h.Allow(x, rule); err != nil {
				return err
			}
			if err := h.Check(x, access.Call, access.Service, service); err != nil {
				return err
			}
		}
		return nil
	}
}

// request is a context that says who it is of, as that of a port does.
type request struct {
	context.Context
	of access.Request
}

func (r *request) Value(key any) any {
	if key == (access.ContextKey{}) {
		return &r.of
	}
	return r.Context.Value(key)
}
