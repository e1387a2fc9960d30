package fleet_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/etcdembed"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/etcdtest"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fleet"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// An etcd that asks for a password gets it, and refuses a wrong one.
func TestLogin(t *testing.T) {
	s := etcdtest.Start(t, etcdembed.Config{ListenClient: "127.0.0.1:0"})
	admin := s.Client()
	for _, do := range []func(ctx context.Context) error{
		func(ctx context.Context) error { _, err := admin.UserAdd(ctx, "root", "secret"); return err },
		func(ctx context.Context) error { _, err := admin.UserGrantRole(ctx, "root", "root"); return err },
		func(ctx context.Context) error { _, err := admin.AuthEnable(ctx); return err },
	} {
		if err := do(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	host := strings.TrimPrefix(s.Endpoint(), "http://")
	for name, tt := range map[string]struct {
		host  string
		login fleet.Login
		wait  time.Duration // hashing a password takes long on a busy machine
		says  string
	}{
		"right":       {host, fleet.Login{User: "root", Password: "secret"}, testkit.Patience, ""},
		"wrong":       {host, fleet.Login{User: "root", Password: "guessed"}, testkit.Patience, "refused the credentials"},
		"none":        {host, fleet.Login{}, testkit.Patience, "refused the credentials"},
		"nobody asks": {"127.0.0.1:1", fleet.Login{User: "root", Password: "secret"}, time.Second, "cannot log in to the store at 127.0.0.1:1: the store did"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := fleet.Open(fleet.Config{Hosts: []string{tt.host}, Cluster: "c", Login: tt.login, OpTimeout: tt.wait})
			if err == nil {
				defer c.Close()
				_, err = c.CheckFormat(t.Context())
			}
			if tt.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, fault.StoreUnavailable) || !strings.Contains(err.Error(), tt.says) || fault.FromError(err).Fix == "" {
				t.Errorf("%v, want %q", err, tt.says)
			}
		})
	}
}
