package handshake_test

import (
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/internal/pki/pkitest"
	"github.com/ruedo-dev/ruedo/internal/port/handshake"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// server is TLS whose handshakes take turns.
type server struct {
	turns  handshake.Turns
	cfg    *tls.Config
	client *tls.Config
}

func newServer(t *testing.T, turns int) *server {
	t.Helper()
	a := pkitest.NewAuthority(t)
	leaves, err := pki.NewLeaves(pki.LeavesConfig{Authorities: func() []*pki.Authority { return []*pki.Authority{a} }, Core: "core-1"})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{turns: make(handshake.Turns, turns), client: pki.Pinned(a.Pin(), nil)}
	s.cfg = s.turns.Bound(pki.Server(pki.ServerConfig{Leaves: leaves}))
	return s
}

// connect returns the client's end of a connection, and what became of the handshake at
// the other end.
func (s *server) connect(t *testing.T) (net.Conn, <-chan error) {
	t.Helper()
	here, there := net.Pipe()
	done := make(chan error, 1)
	go func() {
		c := handshake.Server(there, s.cfg)
		done <- c.HandshakeContext(t.Context())
		_ = c.Close()
	}()
	t.Cleanup(func() { _ = here.Close() })
	return here, done
}

func TestATurnEndsWithItsHandshake(t *testing.T) {
	s := newServer(t, 1)
	for range 3 { // with one turn, the second would wait for the first
		c, done := s.connect(t)
		if err := tls.Client(c, s.client).HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	// One that fails gives its turn back, too.
	old := s.client.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for range 3 {
		c, done := s.connect(t)
		if err := tls.Client(c, old).HandshakeContext(t.Context()); err == nil {
			t.Fatal("TLS 1.2 was accepted")
		}
		if err := <-done; err == nil {
			t.Fatal("TLS 1.2 was accepted")
		}
	}
	testkit.Eventually(t, "all turns are free", func() bool { return len(s.turns) == 0 })
}

// A peer that says hello and then nothing holds no turn.
func TestASilentPeerHoldsNoTurn(t *testing.T) {
	s := newServer(t, 1)
	silent, _ := s.connect(t)
	go func() { _ = tls.Client(&mute{Conn: silent}, s.client).Handshake() }()
	c, done := s.connect(t)
	if err := tls.Client(c, s.client).HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// mute is a connection whose peer reads and says nothing after its first words.
type mute struct {
	net.Conn
	said bool
}

func (m *mute) Write(p []byte) (int, error) {
	if m.said {
		return 0, errors.New("mute")
	}
	m.said = true
	return m.Conn.Write(p)
}

func TestAHandshakeDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, 1)
		s.turns <- struct{}{} // and nobody gives it back
		c, done := s.connect(t)
		go func() { _ = tls.Client(c, s.client).Handshake() }()
		began := time.Now()
		if err := <-done; err == nil || time.Since(began) != 2*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		_ = c.Close()
	})
}
