package etcdembed

import (
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/text"
)

// warnPercent is how much of the quota may be used without a warning.
const warnPercent = 80

// Quota returns STORE_FULL if the database has reached Config.FullBytes: then only
// deletions should be written. From four fifths of that size it returns
// STORE_NEARLY_FULL, which is a warning. It costs one file system call.
func (s *Server) Quota() error {
	full := s.cfg.FullBytes
	if full <= 0 {
		return nil
	}
	used := s.files.Size()
	reason, message := fault.StoreFull, "the store is full: it uses %s, its quota is %s"
	switch {
	case used >= full:
	case used >= full/100*warnPercent:
		reason, message = fault.StoreNearlyFull, "the store uses %s, more than four fifths of its quota of %s; at the quota, writes are refused"
	default:
		return nil
	}
	return fault.New(reason, message, text.Size(used), text.Size(full)).
		WithFix("compact the store, which drops old versions; if that is not enough, delete what is not needed and compact again, or raise store.quota of all members").
		With("quota", full, "used", used)
}
