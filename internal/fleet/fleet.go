// Package fleet is what every process on the store shares: a connection, the
// check of the storage format, and membership by leases.
//
// Begin with [Open]. A process that stays visible to the others is listed:
//
//	c, err := fleet.Open(fleet.Config{Hosts: hosts, Cluster: "main"})
//	m, err := c.AnnounceCore(ctx, core, fleet.DefaultTTL)
//	defer m.Close(ctx)
//
// A runner that holds store settings finds the cores and registers itself
// through a [Directory]; see [Dial].
//
// # Membership
//
// An entry lives under a lease of its announcer. It goes immediately when the
// announcer closes, and within the lease's TTL when the announcer dies. While
// the announcer lives the entry comes back: after the store was away, after
// the lease expired, and after somebody removed it. Two announcers may hold
// the same key; the entry stays as long as one of them lives.
//
// # Errors
//
// [Fault] is the one place where etcd's errors become ours. A caller's own
// cancel or deadline is returned as it is.
package fleet
