// Package password hashes passwords, and says which of them are too weak.
//
//	h := password.New(password.Config{Command: command})
//	defer h.Close()
//	hash, err := h.Hash(ctx, text)         // argon2id, in PHC form
//	good, err := h.Matches(ctx, text, hash)
//
// A hash takes 19 MiB and a processor for tens of milliseconds, so there is one at a
// time. They are computed in a process of the lowest priority, with rests in between if
// others need the processors, so that a flood of logins costs calls little. Sixteen more
// of each [Rank] can wait, for five seconds; beyond that there is LOGIN_LIMIT.
package password

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

// MinLength is the least number of characters of a password.
const MinLength = 12

// params are what OWASP recommends as the least. They are part of each hash; one
// with others is not good.
var params = argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// nobody is a hash that no password is known for. It costs what others cost.
const nobody = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// Hasher hashes passwords. Its methods can be called from many goroutines.
type Hasher struct {
	workers workers
	compute func(question) answer
	lines   [Insistent + 1]line
	rest    rest // of who has the place of strangers
	maxWait time.Duration
	count   atomic.Uint64
}

// Config configures a Hasher.
type Config struct {
	// Command starts a process that only calls [Child]: a program and its arguments. Empty,
	// and on systems without priorities: this process computes the hashes.
	Command []string
}

// New returns a Hasher. It starts nothing before it is needed.
func New(cfg Config) *Hasher {
	h := &Hasher{workers: workers{command: cfg.Command, patience: patience}, maxWait: maxWait}
	h.compute = h.answer
	for i := range h.lines {
		h.lines[i].place = make(chan struct{}, 1)
	}
	return h
}

// Close ends the processes, and waits for them. Call it when nothing is hashed any more.
func (h *Hasher) Close() { h.workers.close() }

// Count returns how many hashes were computed.
func (h *Hasher) Count() uint64 { return h.count.Load() }

// Hash returns the hash of a password of somebody who is known, in PHC form.
// LOGIN_LIMIT; ctx's.
func (h *Hasher) Hash(ctx context.Context, text string) (hash string, err error) {
	a, err := h.ask(ctx, question{Password: []byte(text)}, Known)
	if err != nil {
		return "", err
	}
	if a.Error != "" {
		return "", fault.Wrap(errors.New(a.Error), fault.Internal, "the password cannot be hashed")
	}
	return a.Hash, nil
}

// Matches reports whether a hash is that of a password. A hash that cannot be read,
// for example an empty one, costs as much as another, and matches nothing. LOGIN_LIMIT;
// ctx's.
func (h *Hasher) Matches(ctx context.Context, text, hash string, of Rank) (bool, error) {
	known := readable(hash)
	if !known {
		hash = nobody
	}
	a, err := h.ask(ctx, question{[]byte(text), hash}, of)
	return a.Matches && known && a.Error == "", err
}

// ask has a question answered when it is its turn.
func (h *Hasher) ask(ctx context.Context, q question, of Rank) (a answer, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.maxWait, tooMany("too many logins wait for this core"))
	defer cancel()
	for rank := of; rank >= Known; rank-- {
		if err := h.lines[rank].enter(ctx); err != nil {
			return a, err
		}
		defer h.lines[rank].leave()
		if rank == Stranger {
			if err := h.rest.wait(ctx); err != nil {
				return a, err
			}
			defer func() { h.rest.after(a.Waited) }()
		}
	}
	h.count.Add(1)
	return h.compute(q), nil
}

// answer has a child answer. If that is not possible, because there is no memory for a
// process or all processors are busy, this process does: people have to get in.
func (h *Hasher) answer(q question) answer {
	if !supported || len(h.workers.command) == 0 {
		return q.answer()
	}
	a, err := h.workers.ask(q)
	if err != nil {
		a = q.answer()
		a.Waited = maxRest // calls have waited for it, not it for them
	}
	return a
}

// readable reports whether a hash is one that Hash returns. Others could cost any
// time and memory, and one with an empty key would match every password.
func readable(hash string) bool {
	p, _, _, err := argon2id.DecodeHash(hash)
	return err == nil && *p == params
}

// Check returns PASSWORD_WEAK for a password that a user must not have.
func Check(user, text string) error {
	n := utf8.RuneCountInString(text)
	first, _ := utf8.DecodeRuneInString(text)
	switch {
	case n < MinLength:
		return weak("it has %d characters, and needs %d", n, MinLength).With("limit", MinLength, "actual", n)
	case strings.Trim(text, string(first)) == "":
		return weak("it is one character, again and again")
	case user != "" && strings.ReplaceAll(strings.ToLower(text), user, "") == "":
		return weak("it is the name of the user")
	}
	return nil
}

func weak(format string, args ...any) *fault.Error {
	e := fault.New(fault.PasswordWeak, format, args...)
	e.Message = "the password is too weak: " + e.Message
	return e.WithFix("use at least %d characters that nobody guesses, for example four random words", MinLength)
}
