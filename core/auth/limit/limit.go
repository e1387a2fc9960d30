// Package limit bounds how often something may be tried: a login, or a token that is
// not good. It counts by address, or by any other text, and remembers which came last.
//
//	failures := limit.New(20, time.Minute)
//	if retry, ok := failures.Allow(limit.Network(from)); !ok {
//		return tooMany(retry)
//	}
//
// A limiter takes 32 KiB, however many there are who try. Texts share its buckets: two
// of them can get into the same one, but nobody can choose whose, because how they
// are distributed is random.
package limit

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// buckets is how many buckets a limiter has.
const buckets = 4096

// Limiter bounds how often something happens. Its methods can be called from many
// goroutines.
type Limiter struct {
	per      int64 // in nanoseconds, as are all times here
	interval int64 // between two of those that are allowed, on average
	seed     maphash.Seed
	began    time.Time
	// full is when all that a bucket has allowed is over, since began.
	full [buckets]atomic.Int64
}

// New returns a limiter that allows n in any period of this length, all at the same
// time if need be. n is at least 1.
func New(n int, per time.Duration) *Limiter {
	return &Limiter{per: int64(per), interval: int64(per) / int64(n), seed: maphash.MakeSeed(), began: time.Now()}
}

// Allow counts one of a key and reports whether it is allowed. One that is not does
// not count, and retry is when the next one would be allowed.
func (l *Limiter) Allow(key string) (retry time.Duration, ok bool) {
	return l.allow(key, int64(time.Since(l.began)))
}

// Would reports what Allow would, and counts nothing: for what counts only once it has
// failed.
func (l *Limiter) Would(key string) (retry time.Duration, ok bool) {
	now := int64(time.Since(l.began))
	_, retry = l.next(l.bucket(key).Load(), now)
	return retry, retry == 0
}

func (l *Limiter) allow(key string, now int64) (retry time.Duration, ok bool) {
	for full := l.bucket(key); ; {
		was := full.Load()
		next, retry := l.next(was, now)
		if retry > 0 {
			return retry, false
		}
		if full.CompareAndSwap(was, next) {
			return 0, true
		}
	}
}

func (l *Limiter) bucket(key string) *atomic.Int64 {
	return &l.full[maphash.String(l.seed, key)%buckets]
}

// next returns what a bucket holds after one more, and when that is allowed if it is not
// now.
func (l *Limiter) next(was, now int64) (next int64, retry time.Duration) {
	next = max(was, now) + l.interval
	return next, time.Duration(max(0, next-now-l.per))
}

// Network returns whose address this is: itself, or of IPv6 the first 64 bits, of
// which everybody has all the rest. Any other text is returned as it is.
func Network(address string) string { return Networks(address)[0] }

// Networks returns Network, the network of 256 of those around it, and that of 65,536.
// Any other text is returned alone.
func Networks(address string) []string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return []string{address}
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return []string{ip.String(), around(ip, 24), around(ip, 16)}
	}
	return []string{around(ip, 64), around(ip, 56), around(ip, 48)}
}

func around(ip netip.Addr, bits int) string {
	return netip.PrefixFrom(ip, bits).Masked().String()
}
