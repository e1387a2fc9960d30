package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	corePrefix = start + "c_"
	// coreLife is how long what a core shows to another core is good.
	coreLife = time.Minute
	// clockSkew is by how much the clock of the core that signs may be fast.
	clockSkew = time.Minute
)

// SignCore returns what a core shows to another core of its cluster, for a minute. id
// is the name of the core, and key is known to all of them.
func SignCore(key []byte, id string, now time.Time) string {
	signed := corePrefix + id + "." + strconv.FormatInt(now.Add(coreLife).Unix(), 10)
	return signed + "." + mac(key, signed)
}

// IsCore reports whether a text is what a core shows, good or not.
func IsCore(text string) bool { return strings.HasPrefix(text, corePrefix) }

// VerifyCore returns the id of the core that made a text. It fails with
// UNAUTHENTICATED if that is not a core that has the key, or was too long ago.
func VerifyCore(key []byte, text string, now time.Time) (id string, err error) {
	dot := strings.LastIndexByte(text, '.')
	if !IsCore(text) || dot < 0 || len(key) == 0 || !hmac.Equal([]byte(text[dot+1:]), []byte(mac(key, text[:dot]))) {
		return "", fault.New(fault.Unauthenticated, "no core of this cluster has signed this")
	}
	// What a core has signed is well formed.
	id, expiry, _ := strings.Cut(text[len(corePrefix):dot], ".")
	seconds, err := strconv.ParseInt(expiry, 10, 64)
	left := time.Unix(seconds, 0).Sub(now)
	switch {
	case err != nil:
		return "", fault.New(fault.Unauthenticated, "core %s has signed something else", id)
	case left < 0:
		return "", fault.New(fault.Unauthenticated, "what core %s signed expired %s ago", id, (-left).Round(time.Second)).WithFix("compare the clocks of the cores")
	case left > coreLife+clockSkew:
		return "", fault.New(fault.Unauthenticated, "what core %s signed is good for %s, longer than cores sign for", id, left.Round(time.Second)).WithFix("compare the clocks of the cores")
	}
	return id, nil
}

func mac(key []byte, text string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
