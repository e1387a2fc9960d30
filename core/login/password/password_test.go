package password_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ruedo-dev/ruedo/core/login/password"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

const good = "correct horse battery"

func TestHashAndMatch(t *testing.T) {
	h := password.New(password.Config{})
	hash, err := h.Hash(t.Context(), good)
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(hash, err)
	}
	for text, want := range map[string]bool{good: true, good + " ": false, "": false, "Correct horse battery": false} {
		if got, err := h.Matches(t.Context(), text, hash, password.Stranger); got != want || err != nil {
			t.Errorf("%q: %t, %v", text, got, err)
		}
	}
	if again, err := h.Hash(t.Context(), good); err != nil || again == hash {
		t.Error("two hashes of one password are the same: there is no salt", err)
	}
}

// What is stored can be damaged, or written by somebody else: it never matches, and
// costs one hash like any other.
func TestHashesThatAreNotOurs(t *testing.T) {
	h := password.New(password.Config{})
	salt, key := strings.Repeat("A", 22), strings.Repeat("A", 43)
	for _, hash := range []string{
		"", "x", good, "$argon2id$v=19$m=19456,t=2,p=1$" + salt + "$",
		"$argon2id$v=19$m=19456,t=0,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=4294967295,t=2,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=19456,t=2,p=0$" + salt + "$" + key,
		"$argon2i$v=19$m=19456,t=2,p=1$" + salt + "$" + key,
		"$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
	} {
		before := h.Count()
		if matches, err := h.Matches(t.Context(), "", hash, password.Stranger); matches || err != nil {
			t.Errorf("%q: %t, %v", hash, matches, err)
		}
		if n := h.Count() - before; n != 1 {
			t.Errorf("%q: %d hashes were computed", hash, n)
		}
	}
}

func TestFewHashesAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := resting(0)
		began := time.Now()
		var refused atomic.Int64
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() {
				if _, err := h.Matches(t.Context(), good, "", password.Stranger); err != nil {
					testkit.WantReason(t, err, fault.LoginLimit, "16 logins wait")
					refused.Add(1)
				}
			})
		}
		all.Wait()
		if n := refused.Load(); n != 13 || h.Count() != 17 || time.Since(began) != 17*took {
			t.Errorf("%d of 30 logins were refused, %d hashes were computed in %s", n, h.Count(), time.Since(began))
		}
	})
}

func TestWhoeverWaitsCanLeave(t *testing.T) {
	h := password.New(password.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var all sync.WaitGroup
	var left, done int
	var mu sync.Mutex
	for range 10 {
		all.Go(func() {
			_, err := h.Hash(ctx, good)
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, context.Canceled) {
				left++
			} else if err == nil {
				done++
			}
		})
	}
	all.Wait()
	if left+done != 10 || int(h.Count()) != done {
		t.Errorf("%d left, %d were hashed, and %d hashes computed", left, done, h.Count())
	}
}

func TestWeakPasswords(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "it has 0 characters, and needs 12",
		"short":                    "it has 5 characters, and needs 12",
		"eleven char":              "it has 11 characters",
		strings.Repeat("ñ", 11):    "it has 11 characters",
		strings.Repeat("a", 40):    "one character, again and again",
		strings.Repeat("ñ", 12):    "one character, again and again",
		"ada-lovelace":             "the name of the user",
		"ADA-lovelaceAda-Lovelace": "the name of the user",
	} {
		err := password.Check("ada-lovelace", text)
		testkit.WantReason(t, err, fault.PasswordWeak, want)
		if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%v repeats the password", err)
		}
	}
	for _, text := range []string{good, "ada-lovelace1", "aaaaaaaaaaab", "пароль-из-слов", strings.Repeat("ab", 6)} {
		if err := password.Check("ada-lovelace", text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzMatches(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=0,t=0,p=0$$")
	f.Add("$argon2id$v=19$m=-1,t=-1,p=999$%$")
	h := password.New(password.Config{})
	f.Fuzz(func(t *testing.T, hash string) {
		if matches, err := h.Matches(t.Context(), good, hash, password.Stranger); matches || err != nil {
			t.Errorf("%q: %t, %v", hash, matches, err)
		}
	})
}
