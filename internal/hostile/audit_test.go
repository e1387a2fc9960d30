//go:build hostile

package hostile

import (
	"strings"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// audited reads what is recorded after a version until it is enough.
func (b *bout) audited(after int64, enough func([]*ruedov1.AuditRecord) bool) (records []*ruedov1.AuditRecord) {
	var err error
	tick := time.NewTicker(backWithin / looks * 2)
	defer tick.Stop()
	if !testkit.Poll(backWithin, func() bool {
		<-tick.C
		records = nil
		var items []*ruedov1.AuditRecord
		for items, err = range b.client.ReadAudit(b.ctx, &ruedov1.ListAuditRecordsRequest{After: after}) {
			if err != nil {
				return false
			}
			records = append(records, items...)
		}
		return enough(records)
	}) {
		b.Errorf("the audit lacks what has happened: %d records, %v", len(records), err)
	}
	return records
}

// latest returns the version of the newest record.
func (b *bout) latest() (version int64) {
	for items, err := range b.client.ReadAudit(b.ctx, &ruedov1.ListAuditRecordsRequest{Newest: 1}) {
		if err != nil {
			b.Errorf("the audit cannot be read: %v", err)
		}
		for _, r := range items {
			version = max(version, r.GetVersion())
		}
	}
	return version
}

// hides looks for a part of a secret in records and in the logs of the processes.
func (b *bout) hides(part string, records []*ruedov1.AuditRecord) {
	for _, r := range records {
		if strings.Contains(r.String(), part) {
			b.Errorf("a secret is in the audit: %s", r)
		}
	}
	for _, p := range b.processes() {
		if strings.Contains(p.output(0), part) {
			b.Errorf("a secret is in the log of %s", p.name)
		}
	}
}

// times returns how often something of records happened.
func times(records []*ruedov1.AuditRecord, is func(*ruedov1.AuditRecord) bool) (n int) {
	for _, r := range records {
		if is(r) {
			n += int(max(r.GetCount(), 1))
		}
	}
	return n
}
