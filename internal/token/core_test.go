package token_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/internal/token"
)

func TestACoreShowsWhoItIsForAMinute(t *testing.T) {
	key, now := []byte("a key of the keyring"), time.Unix(1_700_000_000, 0)
	text := token.SignCore(key, "core-1", now)
	if !strings.HasPrefix(text, "ruedo_c_core-1.1700000060.") || !token.IsCore(text) || token.IsCore(good) {
		t.Fatal(text)
	}
	for _, at := range []time.Duration{0, 59 * time.Second, time.Minute, -30 * time.Second, -time.Minute} {
		if id, err := token.VerifyCore(key, text, now.Add(at)); err != nil || id != "core-1" {
			t.Errorf("after %s: %q, %v", at, id, err)
		}
	}
	for name, c := range map[string]struct {
		key  string
		text string
		at   time.Duration
		want string
	}{
		"too late":         {"a key of the keyring", text, 61 * time.Second, "expired 1s ago"},
		"an hour late":     {"a key of the keyring", text, time.Hour, "expired 59m0s ago"},
		"an hour early":    {"a key of the keyring", text, -time.Hour, "is good for 1h1m0s"},
		"another key":      {"another key", text, 0, "no core of this cluster has signed this"},
		"no key":           {"", token.SignCore(nil, "core-1", now), 0, "no core of this cluster has signed this"},
		"another core":     {"a key of the keyring", strings.Replace(text, "core-1", "core-2", 1), 0, "no core of this cluster"},
		"a longer life":    {"a key of the keyring", strings.Replace(text, "1700000060", "1800000060", 1), 0, "no core of this cluster"},
		"cut off":          {"a key of the keyring", text[:len(text)-1], 0, "no core of this cluster"},
		"without a mac":    {"a key of the keyring", "ruedo_c_core-1", 0, "no core of this cluster"},
		"nothing but dots": {"a key of the keyring", "ruedo_c_...", 0, "no core of this cluster"},
		"of a user":        {"a key of the keyring", good, 0, "no core of this cluster"},
	} {
		_, err := token.VerifyCore([]byte(c.key), c.text, now.Add(c.at))
		if err == nil {
			t.Errorf("%s is good", name)
		}
		testkit.WantReason(t, err, fault.Unauthenticated, c.want)
	}
}

func FuzzVerifyCore(f *testing.F) {
	now := time.Unix(1_700_000_000, 0)
	good := token.SignCore([]byte("key"), "core-1", now)
	f.Add(good)
	f.Add("ruedo_c_core-1.1700000060.")
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := token.VerifyCore([]byte("key"), text, now); err == nil && text != good {
			t.Errorf("%q is of core %s", text, id)
		}
	})
}
