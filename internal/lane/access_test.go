package lane_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/access"
	"github.com/ruedo-dev/ruedo/internal/executor"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/pki/pkitest"
	"github.com/ruedo-dev/ruedo/internal/port"
	"github.com/ruedo-dev/ruedo/internal/socket"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/token"
)

// shown collects what runners show.
type shown struct {
	mu  sync.Mutex
	all map[string]int // by way and credential
}

// identify lets those in who show a token, or come by the socket.
func (s *shown) identify(good string) func(*http.Request, string, string) (*access.Principal, *fault.Error) {
	return func(r *http.Request, via, _ string) (*access.Principal, *fault.Error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.all == nil {
			s.all = make(map[string]int)
		}
		text := r.Header.Get("Authorization")
		s.all[via+" "+text]++
		if via != access.ViaSocket && text != "Bearer "+good {
			return nil, access.Unauthenticated()
		}
		return &access.Principal{Name: "user/edge"}, nil
	}
}

// site is a port with every door that a runner can come by.
type site struct {
	lanes       <-chan *lane.Lane
	plain, over string // URLs
	socket      string
	authority   *pki.Authority
	secret      string
	shown       shown
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{authority: pkitest.NewAuthority(t), secret: token.New(token.Bearer).Reveal()}
	leaves, err := pki.NewLeaves(pki.LeavesConfig{Authorities: func() []*pki.Authority { return []*pki.Authority{s.authority} }, Core: "core-1"})
	if err != nil {
		t.Fatal(err)
	}
	lanes, p := newPort(t, port.Config{Identify: s.shown.identify(s.secret)})
	plain, over := listen(t), listen(t)
	door, err := socket.Listen(socket.Config{Path: filepath.Join(t.TempDir(), "core.sock")})
	if err != nil {
		t.Fatal(err)
	}
	p.open(func() error { return p.Serve(plain) })
	p.open(func() error { return p.ServeTLS(over, pki.Server(pki.ServerConfig{Leaves: leaves})) })
	p.open(func() error { return p.Serve(door) })
	s.lanes, s.plain, s.over, s.socket = lanes, "http://"+plain.Addr().String(), "https://"+over.Addr().String(), door.Path()
	return s
}

// attach attaches a runner that echoes.
func attach(t *testing.T, url string, how lane.Access) error {
	t.Helper()
	c, err := lane.Dial(t.Context(), lane.ConnConfig{
		URL: url, Way: way(), Access: how, Cluster: "test", Runner: &ruedov1.Runner{Id: "edge-1", Concurrency: 4},
		Bind: func(executor.Source) executor.Runner { return &fakeRunner{execute: echo} },
	})
	if err == nil {
		t.Cleanup(c.Close)
		if c.Upgraded() != upgraded {
			t.Errorf("the lane has a connection of its own: %t, want %t", c.Upgraded(), upgraded)
		}
	}
	return err
}

func static(text string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return text, nil }
}

func (s *site) trusting() lane.Access {
	return lane.Access{TLS: pki.Trusting(func() []*x509.Certificate { return []*x509.Certificate{s.authority.Certificate()} }, nil)}
}

// Whichever way a runner comes, it executes calls, and shows its token with every
// request that these take.
func TestRunnersThatAreLetIn(t *testing.T) {
	for name, c := range map[string]struct {
		url  func(*site) string
		how  func(*site) lane.Access
		want func(*site) string
	}{
		"TLS and a token": {
			func(s *site) string { return s.over },
			func(s *site) lane.Access { a := s.trusting(); a.Token = static(s.secret); return a },
			func(s *site) string { return "tls Bearer " + s.secret },
		},
		"a token on this machine": {
			func(s *site) string { return s.plain },
			func(s *site) lane.Access { return lane.Access{Token: static(s.secret)} },
			func(s *site) string { return "tcp Bearer " + s.secret },
		},
		"the socket": {
			func(s *site) string { return s.plain },
			func(s *site) lane.Access { return lane.Access{Socket: s.socket} },
			func(s *site) string { return "socket " },
		},
		"the socket of a core with TLS": {
			func(s *site) string { return s.over },
			func(s *site) lane.Access { return lane.Access{Socket: s.socket} },
			func(s *site) string { return "socket " },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			if err := attach(t, c.url(s), c.how(s)); err != nil {
				t.Fatal(err)
			}
			l := <-s.lanes
			for _, size := range []int{10, 5 << 20} { // with the frame; on connections of their own
				in := bytes.Repeat([]byte("x"), size)
				res, err := l.Execute(t.Context(), &runnerv1.ExecuteRequest{Plan: "p", Input: in})
				if err != nil || !bytes.Equal(res.Output, in) {
					t.Errorf("%d bytes: %v", size, err)
				}
			}
			s.shown.mu.Lock()
			defer s.shown.mu.Unlock()
			if n := s.shown.all[c.want(s)]; n < 3 || len(s.shown.all) != 1 {
				t.Errorf("%d requests as meant, of %v", n, s.shown.all)
			}
		})
	}
}

func TestRunnersThatAreNotLetIn(t *testing.T) {
	s := newSite(t)
	other := lane.Access{TLS: pki.Trusting(func() []*x509.Certificate { return []*x509.Certificate{pkitest.NewAuthority(t).Certificate()} }, nil), Token: static(s.secret)}
	with := func(text string) lane.Access { a := s.trusting(); a.Token = static(text); return a }
	for name, c := range map[string]struct {
		url    string
		how    lane.Access
		reason fault.Reason
	}{
		"nothing shown":              {s.over, s.trusting(), fault.Unauthenticated},
		"nothing to show":            {s.over, with(""), fault.Unauthenticated},
		"another cluster's token":    {s.over, with(token.New(token.Bearer).Reveal()), fault.Unauthenticated},
		"a mistyped token":           {s.over, with(s.secret[:52] + "x"), fault.TokenInvalid},
		"an invite":                  {s.over, with(token.New(token.Invite).Reveal()), fault.TokenInvalid},
		"another authority":          {s.over, other, fault.PinMismatch},
		"the system's authorities":   {s.over, lane.Access{Token: static(s.secret)}, fault.AuthorityUnknown},
		"TLS at a core without":      {"https" + s.plain[len("http"):], with(s.secret), fault.CoreUnreachable},
		"no TLS at another machine":  {"http://192.0.2.1:7833", with(s.secret), fault.PlaintextRefused},
		"a token that is not there":  {s.over, lane.Access{Token: func(context.Context) (string, error) { return "", fault.New(fault.ConfigInvalid, "gone") }}, fault.ConfigInvalid},
		"a socket that is not there": {s.plain, lane.Access{Socket: s.socket + "x"}, fault.CoreUnreachable},
	} {
		testkit.WantReason(t, attach(t, c.url, c.how), c.reason)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	s.shown.mu.Lock()
	defer s.shown.mu.Unlock()
	if s.shown.all["tls Bearer "+s.secret] != 0 {
		t.Errorf("a core that is not believed was shown the token: %v", s.shown.all)
	}
}

// What answers in place of a core cannot send the token elsewhere.
func TestATokenFollowsNoRedirect(t *testing.T) {
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the other host was asked") }))
	defer thief.Close()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	impostor := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
	}))
	impostor.Config.Protocols = protocols
	impostor.Start()
	defer impostor.Close()
	testkit.WantReason(t, attach(t, impostor.URL, lane.Access{Token: static(token.New(token.Bearer).Reveal())}), fault.CoreUnreachable)
}
