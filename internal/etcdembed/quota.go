package etcdembed

import (
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// warnPercent is how much of the quota may be used without a warning.
const warnPercent = 80

// Quota returns STORE_FULL if the database has reached Config.FullBytes: it should
// get no more data, but deletions. From four fifths of that on it returns
// STORE_NEARLY_FULL, which is a warning. It costs one file system call.
func (s *Server) Quota() error {
	full := s.cfg.FullBytes
	if full <= 0 {
		return nil
	}
	used := s.files.size()
	reason, message := fault.StoreFull, "the store is full: it uses %.1f MiB, its quota is %.1f MiB"
	switch {
	case used >= full:
	case used >= full/100*warnPercent:
		reason, message = fault.StoreNearlyFull, "the store uses %.1f MiB, more than four fifths of its quota of %.1f MiB; at the quota, writes are refused"
	default:
		return nil
	}
	return fault.New(reason, message, mib(used), mib(full)).
		WithFix("compact the store, which drops old versions; if that is not enough, delete what is not needed and compact again, or raise store.quota of all members").
		With("quota", full, "used", used)
}
